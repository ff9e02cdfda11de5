"""`genbench data`: check images before training on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from genbench.cli import NearMissGroup
from genbench.cli.flags import as_json_flag, plugin_files, set_option
from genbench.cli.output import echo, parse_output_path, print_json, record_exit_code, show_image_progress, write_output
from genbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from PIL import Image

    from genbench.data.progress import Progress
    from genbench.datacheck.scan import Scan
    from genbench.datacheck.target import Target


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
    from genbench.datacheck.check import measure
    from genbench.datacheck.findings import findings, suspects
    from genbench.datacheck.format import as_data, as_text
    from genbench.datacheck.target import find_target
    from genbench.plugins.catalogue import discover

    target = find_target(source, settings, discover(plugins))
    sheet_path = None if sheet is None else _parse_sheet_path(sheet, target)
    with show_image_progress("checking images") as progress:
        scan = _scan(source, target, progress)
    measured = measure(scan)
    found = findings(measured)
    failed = not len(scan) or (strict and bool(suspects(found)))
    code = ExitCode.FAILED_CELLS if failed else ExitCode.OK
    record_exit_code(code)
    if as_json:
        print_json(as_data(measured, found))
    else:
        echo(as_text(measured, found), nl=False)
    if sheet_path is not None:
        from genbench.datacheck.contact_sheet import draw_sheet, sections

        chosen = sections(measured)
        if chosen:
            _write_png(sheet_path, draw_sheet(scan, chosen))
        echo(f"Suspicious images: {sheet_path}" if chosen else "No suspicious images to draw.", err=True)
    return code


def _scan(source: str, target: Target, progress: Progress) -> Scan:
    if target.folder is not None:
        from genbench.datacheck.folder import scan_folder
        from genbench.errors import DataError

        channels, size, _ = target.shape
        scan = scan_folder(target.folder, size, channels, progress)
        if not scan.names and not scan.unreadable and not (scan.files and scan.files.unsupported):
            raise DataError(f"There are no images in {scan.source}.", "Give a folder that contains image files.")
        return scan
    import dataclasses

    from genbench.data.loading import load_data
    from genbench.datacheck.tensors import scan_tensors
    from genbench.plugins.worker_catalogue import load_catalogue
    from genbench.report.table.layout import clean

    plugin = target.plugin
    catalogue = load_catalogue([] if plugin.origin == "builtin" else [dataclasses.asdict(plugin)])
    data = load_data(target.choice, target.shape, catalogue)
    return scan_tensors(
        clean(source),
        (data.train_pixels.numpy(), None if data.train_labels is None else data.train_labels.numpy()),
        (data.test_pixels.numpy(), None if data.test_labels is None else data.test_labels.numpy()),
        class_names=[clean(name) for name in data.class_names],
        points=target.spec.points,
        notes=[clean(note) for note in data.notes],
        progress=progress,
    )


def _parse_sheet_path(text: str, target: Target) -> Path:
    path = parse_output_path(text, "--sheet", ".png")
    if target.folder is not None and path.resolve().is_relative_to(target.folder.resolve()):
        raise UsageError(f"--sheet {text} lies in the folder to check.", "Choose a path outside the folder.")
    return path


def _write_png(path: Path, sheet: Image.Image) -> None:
    import io

    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")
    write_output(path, buffer.getvalue(), "--sheet")
