"""`genbench data`: looking at images before anything is trained on them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genbench.cli import NearMissGroup
from genbench.cli.flags import as_json_flag, plugin_files
from genbench.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from genbench.data.progress import Progress
    from genbench.datacheck.scan import Scan
    from genbench.datacheck.target import Target

_REDRAW = 32  # images between two updates of the bar


@click.group("data", cls=NearMissGroup)
def command() -> None:
    """Look at a dataset or a folder of images before training on it."""


@command.command("check")
@click.argument("source", metavar="DATASET_OR_FOLDER")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME.OPTION=VALUE",
    help="An option of the dataset; of a folder, folder.size is the size to train at. Repeatable.",
)
@plugin_files
@click.option(
    "--sheet", type=click.Path(), metavar="FILE.png", help="Also draw the suspects, copies side by side. [no picture]"
)
@click.option("--strict", is_flag=True, help="End with code 5 where there is a problem or a warning. [code 0]")
@as_json_flag
def check(
    source: str, settings: tuple[str, ...], plugins: tuple[str, ...], sheet: str | None, strict: bool, as_json: bool
) -> int:
    """Look for unreadable files, copies, leaks between the splits, unequal classes and odd images.

    \b
    \b
    genbench data check photos --set folder.size=128 --sheet suspects.png
    genbench data check cifar10 --json
    """
    import msgspec

    from genbench.datacheck.check import measure
    from genbench.datacheck.findings import findings, suspects
    from genbench.datacheck.format import as_data, as_text
    from genbench.datacheck.target import find_target
    from genbench.plugins.catalogue import discover

    target = find_target(source, settings, discover(plugins))
    sheet_path = None if sheet is None else _checked_sheet(sheet, target)
    with _bar() as progress:
        survey = _survey(source, target, progress)
    measured = measure(survey)
    found = findings(measured)
    failed = not len(survey) or (strict and bool(suspects(found)))
    code = ExitCode.FAILED_CELLS if failed else ExitCode.OK
    click.get_current_context().find_root().obj = code  # it counts even where nobody reads the report
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(as_data(measured, found)), indent=2).decode())
    else:
        click.echo(as_text(measured, found), nl=False)
    if sheet_path is not None:
        from genbench.datacheck.contact_sheet import draw_sheet, sections

        chosen = sections(measured)
        if chosen:
            _write(sheet_path, draw_sheet(survey, chosen))
        click.echo(f"Suspects: {sheet_path}" if chosen else "No suspects to draw.", err=True)
    return code


def _survey(source: str, target: Target, progress: Progress) -> Scan:
    if target.folder is not None:
        from genbench.datacheck.folder import scan_folder
        from genbench.errors import DataError

        channels, size, _ = target.shape
        survey = scan_folder(target.folder, size, channels, progress)
        if not survey.names and not survey.unreadable and not (survey.files and survey.files.unsupported):
            raise DataError(f"There are no images in {survey.source}.", "Name a folder that holds image files.")
        return survey
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


def _checked_sheet(text: str, target: Target) -> Path:
    path = Path(text).expanduser()
    if path.suffix.lower() != ".png":
        raise UsageError(f"--sheet {text} is not a .png file.", "Give it the suffix .png.")
    if not path.parent.is_dir():
        raise UsageError(f"--sheet {text}: there is no folder {path.parent}.", "Make it, or choose another place.")
    if target.folder is not None and path.resolve().is_relative_to(target.folder.resolve()):
        raise UsageError(f"--sheet {text} would become one of the images.", "Choose a place outside the folder.")
    return path


def _write(path: Path, sheet: object) -> None:
    import io

    from genbench.results.store import atomic_write

    buffer = io.BytesIO()
    sheet.save(buffer, format="PNG")  # type: ignore[attr-defined]
    try:
        atomic_write(path, buffer.getvalue())
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror or error}.", "Choose another --sheet.") from error


@contextmanager
def _bar() -> Iterator[Progress]:
    """Show how many images are done, on a terminal only."""
    from genbench.data.progress import ignore_progress

    if not sys.stderr.isatty():
        yield ignore_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("looking at images"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("images", total=None)

        def progress(done: int, total: int) -> None:
            if done % _REDRAW == 0 or done == total:
                bar.update(task, completed=done, total=total)

        yield progress
