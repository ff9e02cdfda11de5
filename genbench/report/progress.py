"""Progress of `genbench run`: a live display on a terminal, lines elsewhere, only failures when quiet.

A display draws only inside calls of its methods: none of its threads runs while a window is timed.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO, cast

from genbench.gate.speed_interval import uncertainty
from genbench.report import numbers
from genbench.report.table.layout import clean
from genbench.results.schema import CellResult

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 5.0
_MOST_METRICS = 4  # on the line of a finished cell; the table has all


class Display(Protocol):
    """Receives the progress of a run; called outside the timed windows."""

    def run_started(self, total: int, path: Path) -> None:
        """Show how many cells will run, and where their results go."""

    def cell_started(self, index: int, total: int, label: str, steps: int) -> None:
        """Show which cell starts: its number from 1, its name, its training steps."""

    def cell_activity(self, text: str) -> None:
        """Show what the cell, or between cells the run, does outside training: 'generating samples: 256 of 2,000'."""

    def cell_progress(
        self, step: int, images_per_second: float, terms: Mapping[str, float], seconds_left: float
    ) -> None:
        """Show the progress of training, with the latest loss terms."""

    def cell_finished(self, result: CellResult) -> None:
        """Show the outcome of the cell."""

    def message(self, text: str) -> None:
        """Show any other message in one line."""

    def close(self) -> None:
        """Restore the terminal."""


def choose_display(stream: TextIO | None = None, quiet: bool = False) -> Display:
    """Return the display for `stream`, by default stderr: standard output is reserved for the table."""
    stream = sys.stderr if stream is None else stream
    if quiet:
        return QuietDisplay(stream)
    if stream.isatty():
        from rich.console import Console

        terminal = cast("TextIO", _Unfailing(stream))
        return LiveDisplay(Console(file=terminal, highlight=False, markup=False, emoji=False))
    return PlainDisplay(stream)


class _Unfailing:
    """A stream whose failures are ignored: the run goes on when its terminal has gone."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text, if that is possible."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, if that is possible."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class SilentDisplay:
    """Shows nothing."""

    def run_started(self, total: int, path: Path) -> None:
        """Show nothing."""

    def cell_started(self, index: int, total: int, label: str, steps: int) -> None:
        """Show nothing."""

    def cell_activity(self, text: str) -> None:
        """Show nothing."""

    def cell_progress(
        self, step: int, images_per_second: float, terms: Mapping[str, float], seconds_left: float
    ) -> None:
        """Show nothing."""

    def cell_finished(self, result: CellResult) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


class QuietDisplay(SilentDisplay):
    """Shows only cells that did not end as ok."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def cell_finished(self, result: CellResult) -> None:
        """Show the cell if it failed."""
        if result.status != "ok":
            _write(self._stream, f"{result.id}: {outcome(result)}")


class PlainDisplay:
    """Lines for a log: the start and end of each cell, and its progress at most once every five seconds."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._position, self._label, self._steps = "", "", 0
        self._last = 0.0

    def run_started(self, total: int, path: Path) -> None:
        """Write where the results go."""
        self.message(f"{total} {'cell' if total == 1 else 'cells'} -> {path}")

    def cell_started(self, index: int, total: int, label: str, steps: int) -> None:
        """Write the cell's name and budget."""
        self._position, self._label, self._steps = f"[{index}/{total}]", label, steps
        self._last = self._clock()
        self.message(f"{self._position} {label}: {numbers.count(steps)} steps")

    def cell_activity(self, text: str) -> None:
        """Write nothing: a log does not need this."""

    def cell_progress(
        self, step: int, images_per_second: float, terms: Mapping[str, float], seconds_left: float
    ) -> None:
        """Write a line if the last one is more than five seconds old."""
        now = self._clock()
        if now - self._last < _LINE_SECONDS:
            return
        self._last = now
        self.message(f"{self._position} {progress(step, self._steps, images_per_second, terms, seconds_left)}")

    def cell_finished(self, result: CellResult) -> None:
        """Write the outcome."""
        self.message(f"{self._position} {self._label or result.id}: {outcome(result)}")

    def message(self, text: str) -> None:
        """Write a line."""
        _write(self._stream, text)

    def close(self) -> None:
        """Do nothing: every line has been written."""


class LiveDisplay:
    """A progress bar, numbers and the outcomes so far, redrawn inside calls at most ten times a second."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.live import Live

        self._console = console
        self._clock = clock
        self._live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._last = -_REDRAW_SECONDS
        self._index, self._total, self._label, self._steps = 0, 0, "", 0
        self._step, self._line = 0, ""

    def run_started(self, total: int, path: Path) -> None:
        """Show where the results go."""
        self._total = total
        self.message(f"{total} {'cell' if total == 1 else 'cells'} -> {path}")
        self._live.start()

    def cell_started(self, index: int, total: int, label: str, steps: int) -> None:
        """Begin a new bar."""
        self._index, self._total, self._label, self._steps = index, total, clean(label), steps
        self._step, self._line = 0, "starting"
        self._draw(force=True)

    def cell_activity(self, text: str) -> None:
        """Show it instead of the numbers."""
        self._line = clean(text)
        self._draw(force=True)

    def cell_progress(
        self, step: int, images_per_second: float, terms: Mapping[str, float], seconds_left: float
    ) -> None:
        """Move the bar."""
        self._step = step
        self._line = progress(step, self._steps, images_per_second, terms, seconds_left)
        self._draw()

    def cell_finished(self, result: CellResult) -> None:
        """Print one line above the bar, which belongs to no cell until the next one starts."""
        self._live.update("", refresh=True)
        style = "green" if result.status == "ok" else "yellow" if result.status == "skipped" else "red"
        self.message(f"[{self._index}/{self._total}] {self._label or result.id}: {outcome(result)}", style)
        self._label = ""

    def message(self, text: str, style: str = "") -> None:
        """Print a line above the bar."""
        from rich.text import Text

        self._console.print(Text(clean(text, 2000), style=style))

    def close(self) -> None:
        """Remove the bar and show the cursor."""
        self._live.stop()

    def _draw(self, force: bool = False) -> None:
        now = self._clock()
        if not force and now - self._last < _REDRAW_SECONDS:
            return
        self._last = now
        self._live.update(self._frame(), refresh=True)

    def _frame(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        line = Text(f"  {self._line}", style="dim", no_wrap=True, overflow="ellipsis")
        if not self._label:  # between cells: reference rows
            return line
        head = Table.grid(padding=(0, 1))
        head.add_row(
            Text(f"[{self._index}/{self._total}]", style="bold"),
            Text(self._label),
            ProgressBar(total=max(self._steps, 1), completed=self._step, width=30),
        )
        return Group(head, line)


def progress(step: int, steps: int, images_per_second: float, terms: Mapping[str, float], seconds_left: float) -> str:
    """Return the progress of training in one line."""
    losses = "  ".join(f"{clean(name, 30)} {numbers.significant(value, 3)}" for name, value in terms.items())
    parts = (
        f"step {numbers.count(step)} of {numbers.count(steps)}",
        f"{numbers.rate(images_per_second)} images/s",
        losses,
        f"{numbers.seconds(seconds_left)} left",
    )
    return " · ".join(part for part in parts if part)


def outcome(result: CellResult) -> str:
    """Return the outcome of a cell in one line."""
    if result.status != "ok":
        return clean(f"{result.status}: {result.reason}" if result.reason else result.status)
    parts = [f"ok in {numbers.seconds(result.durations.total)}"]
    speed = result.throughput
    if speed is not None and result.proof is not None and result.proof.trained:
        interval = uncertainty(speed)
        shown = numbers.with_interval(speed.images_per_second, speed.low, speed.high)
        parts.append(f"images/s n/a ({interval})" if interval else f"{shown} images/s")
    first = result.estimates[:_MOST_METRICS]
    parts += [f"{clean(e.metric, 40)} {numbers.with_error(e.value, e.standard_error)}" for e in first]
    return " · ".join([*parts, "…"] if len(result.estimates) > len(first) else parts)


def _write(stream: TextIO, text: str) -> None:
    line = clean(text, 2000) + "\n"
    try:
        try:
            stream.write(line)
        except UnicodeEncodeError:  # a terminal that is not UTF-8
            stream.write(line.encode(stream.encoding or "ascii", "replace").decode(stream.encoding or "ascii"))
        stream.flush()
    except (OSError, ValueError):
        return  # nobody reads the output any more; the run continues
