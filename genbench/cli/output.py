"""What commands print and write: JSON, exit codes, output files and progress bars."""

from __future__ import annotations

import contextlib
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from genbench.process.terminal_text import harmless, harmless_json

if TYPE_CHECKING:
    from genbench.commands.printed import Printable
    from genbench.report.figures.figure import Figure

_REDRAW = 32  # images between two updates of a progress bar


def echo(text: object = "", *, err: bool = False, nl: bool = True, as_json: bool = False) -> None:
    """Print text; every command prints through this function.

    Names and messages from files and plugins cannot act on the terminal or on a CI system: control characters become
    question marks, and a line cannot begin with a workflow command. In JSON they become escapes of its strings.
    """
    shown = harmless_json(str(text)) if as_json else harmless(str(text))
    if not err:
        click.echo(shown, nl=nl)
        return
    with contextlib.suppress(OSError, ValueError):  # nobody reads the messages any more; the command goes on
        click.echo(shown, err=True, nl=nl)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure and return its path; its warnings are printed as messages."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        saved = figure.save(path)
    for warning in caught:
        echo(warning.message, err=True)
    return saved


def line_width() -> int:
    """Return the width of the terminal to which tables are printed, or the fixed one of other outputs."""
    from genbench.report.table.render import PAGE_WIDTH

    return shutil.get_terminal_size((PAGE_WIDTH, 24)).columns if sys.stdout.isatty() else PAGE_WIDTH


def print_json(data: Any) -> None:
    """Print plain data or records as indented JSON."""
    import msgspec

    echo(msgspec.json.format(msgspec.json.encode(data), indent=2).decode(), as_json=True)


def print_result(found: Printable, as_json: bool, code: int = 0, text: str | None = None) -> None:
    """Print what a command found, as `text` or the text of the record, or as JSON; the exit code is set before."""
    record_exit_code(code)
    shown = found.to_json() if as_json else found.text() if text is None else text
    echo(shown, nl=False, as_json=as_json)


def record_exit_code(code: int) -> None:
    """Set the exit code before printing, so that it holds even if the reader closes the pipe early."""
    click.get_current_context().find_root().obj = int(code)


@contextmanager
def show_image_progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar over images, on a terminal only; yields a callback (images done, images in total)."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title.replace("[", r"\["), total=None)
        shown = 0

        def update(done: int, total: int) -> None:
            nonlocal shown
            if done - shown >= _REDRAW or done == total:
                bar.update(task, completed=done, total=total)
                shown = done

        yield update
