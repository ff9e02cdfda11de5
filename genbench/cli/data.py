"""`genbench data`: check images before training on them."""

from __future__ import annotations

import click

from genbench.cli import NearMissGroup
from genbench.cli.flags import as_json_flag, plugin_files, set_option
from genbench.cli.output import echo, print_result, show_image_progress
from genbench.errors import ExitCode


@click.group("data", cls=NearMissGroup)
def command() -> None:
    """Check a dataset or a folder of images before training on it."""


@command.command("check", short_help="Find unreadable, duplicate, leaked and unusual images.")
@click.argument("source", metavar="DATASET_OR_FOLDER")
@set_option("the dataset; for a folder, folder.size is the training resolution")
@plugin_files
@click.option(
    "--sheet", type=click.Path(), metavar="FILE.png", help="Also draw suspicious images, duplicates side by side."
)
@click.option("--strict", is_flag=True, help="Exit with code 5 if there is a problem or a warning.")
@as_json_flag
def check(
    source: str, settings: tuple[str, ...], plugins: tuple[str, ...], sheet: str | None, strict: bool, as_json: bool
) -> int:
    """Find unreadable files, duplicates, leaks between splits, unbalanced classes and unusual images.

    \b
    genbench data check photos --set folder.size=128 --sheet suspects.png
    genbench data check cifar10 --json
    """
    from genbench.commands.checks.images import check_images

    found = check_images(
        source, set=settings, plugins=plugins, sheet=sheet, progress=lambda: show_image_progress("checking images")
    )
    code = ExitCode.OK if found.passed(strict) else ExitCode.FAILED_CELLS
    print_result(found, as_json, code)
    if sheet is not None:
        echo(f"Suspicious images: {found.sheet}" if found.sheet else "No suspicious images to draw.", err=True)
    return code
