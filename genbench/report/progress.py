"""Progress of `genbench run`: a live display on a terminal, lines elsewhere, only failures when quiet.

A display draws only inside calls of its methods: none of its threads runs while a window is timed.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO, cast

from genbench.gate.speed_interval import uncertainty
from genbench.report import numbers
from genbench.report.table.layout import clean
from genbench.results.failure_codes import code_of
from genbench.results.schema import CellResult

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 5.0
_PLAN_SECONDS = 60.0
_MOST_BARS = 8  # of cells that run at the same time
_MOST_METRICS = 4  # on the line of a finished cell; the table has all


class Display(Protocol):
    """Receives the progress of a run; called outside the timed windows. `cell`: the id of a cell that runs now."""

    def run_started(self, total: int, path: Path) -> None:
        """Show how many cells will run, and where their results go."""

    def cell_started(self, cell: str, index: int, total: int, label: str, steps: int) -> None:
        """Show which cell starts: its id, its number from 1, its name, its training steps."""

    def cell_activity(self, cell: str, text: str) -> None:
        """Show what the cell, or without one the run, does outside training: 'generating samples: 256 of 2,000'."""

    def cell_progress(
        self, cell: str, step: int, images_per_second: float, terms: Mapping[str, float], seconds_left: float
    ) -> None:
        """Show the progress of training, with the latest loss terms."""

    def cell_finished(self, result: CellResult) -> None:
        """Show the outcome of the cell."""

    def plan_progress(self, finished: int, total: int, left: str) -> None:
        """Show how many of all cells have ended, and how long the rest takes: 'about 4 min left'."""

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

    def cell_started(self, cell: str, index: int, total: int, label: str, steps: int) -> None:
        """Show nothing."""

    def cell_activity(self, cell: str, text: str) -> None:
        """Show nothing."""

    def cell_progress(
        self, cell: str, step: int, images_per_second: float, terms: Mapping[str, float], seconds_left: float
    ) -> None:
        """Show nothing."""

    def cell_finished(self, result: CellResult) -> None:
        """Show nothing."""

    def plan_progress(self, finished: int, total: int, left: str) -> None:
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


@dataclass
class _Cell:
    """What is shown of a running cell."""

    position: str = ""
    label: str = ""
    steps: int = 0
    step: int = 0
    line: str = ""
    last: float = 0.0  # when its last line was written


class PlainDisplay:
    """Lines for a log: start and end of each cell, its progress every five seconds, that of the plan every minute."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._running: dict[str, _Cell] = {}  # by id
        self._planned = clock()  # when the last line on the plan was written
        self._finished = 0  # cells

    def run_started(self, total: int, path: Path) -> None:
        """Write where the results go."""
        self.message(f"{total} {'cell' if total == 1 else 'cells'} -> {path}")

    def cell_started(self, cell: str, index: int, total: int, label: str, steps: int) -> None:
        """Write the cell's name and budget."""
        self._running[cell] = shown = _Cell(f"[{index}/{total}]", label, steps, last=self._clock())
        self.message(f"{shown.position} {label}: {numbers.count(steps)} steps")

    def cell_activity(self, cell: str, text: str) -> None:
        """Write nothing: a log does not need this."""

    def cell_progress(
        self, cell: str, step: int, images_per_second: float, terms: Mapping[str, float], seconds_left: float
    ) -> None:
        """Write a line if the last one is more than five seconds old."""
        now, shown = self._clock(), self._running[cell]
        if now - shown.last < _LINE_SECONDS:
            return
        shown.last = now
        self.message(f"{shown.position} {progress(step, shown.steps, images_per_second, terms, seconds_left)}")

    def cell_finished(self, result: CellResult) -> None:
        """Write the outcome."""
        shown = self._running.pop(result.id, _Cell())
        self.message(f"{shown.position} {shown.label or result.id}: {outcome(result)}")

    def plan_progress(self, finished: int, total: int, left: str) -> None:
        """Write a line when a cell has ended, and if the last one is more than a minute old."""
        if finished != self._finished or self._clock() - self._planned >= _PLAN_SECONDS:
            self._finished, self._planned = finished, self._clock()
            self.message(of_plan(finished, total, left))

    def message(self, text: str) -> None:
        """Write a line."""
        _write(self._stream, text)

    def close(self) -> None:
        """Do nothing: every line has been written."""


class LiveDisplay:
    """A bar and numbers for each running cell, and the outcomes so far, redrawn at most ten times a second."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.live import Live

        self._console = console
        self._clock = clock
        self._live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._last = -_REDRAW_SECONDS
        self._running: dict[str, _Cell] = {}  # by id
        self._line = ""  # what the run does
        self._plan = ""  # how far the plan is

    def run_started(self, total: int, path: Path) -> None:
        """Show where the results go."""
        self.message(f"{total} {'cell' if total == 1 else 'cells'} -> {path}")
        self._live.start()

    def cell_started(self, cell: str, index: int, total: int, label: str, steps: int) -> None:
        """Begin a new bar."""
        self._running[cell] = _Cell(f"[{index}/{total}]", clean(label), steps, line="starting")
        self._draw(force=True)

    def cell_activity(self, cell: str, text: str) -> None:
        """Show it instead of the numbers."""
        if cell:
            self._running[cell].line = clean(text)
        else:
            self._line = clean(text)
        self._draw(force=True)

    def cell_progress(
        self, cell: str, step: int, images_per_second: float, terms: Mapping[str, float], seconds_left: float
    ) -> None:
        """Move the bar."""
        shown = self._running[cell]
        shown.step = step
        shown.line = progress(step, shown.steps, images_per_second, terms, seconds_left)
        self._draw()

    def cell_finished(self, result: CellResult) -> None:
        """Print one line above the bars, among which the cell has none any more."""
        shown = self._running.pop(result.id, _Cell())
        self._live.update(self._frame() if self._running else "", refresh=True)
        style = "green" if result.status == "ok" else "yellow" if result.status == "skipped" else "red"
        self.message(f"{shown.position} {shown.label or result.id}: {outcome(result)}", style)

    def plan_progress(self, finished: int, total: int, left: str) -> None:
        """Show it below the bars."""
        self._plan = of_plan(finished, total, left)

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

        def dim(line: str) -> Text:
            return Text(f"  {line}", style="dim", no_wrap=True, overflow="ellipsis")

        parts: list[RenderableType] = [dim(self._line)] if self._line or not self._running else []
        for shown in [*self._running.values()][:_MOST_BARS]:
            head = Table.grid(padding=(0, 1))
            head.add_row(
                Text(shown.position, style="bold"),
                Text(shown.label),
                ProgressBar(total=max(shown.steps, 1), completed=shown.step, width=30),
            )
            parts += [head, dim(shown.line)]
        if len(self._running) > _MOST_BARS:
            parts.append(dim(f"and {len(self._running) - _MOST_BARS} more cells"))
        if self._plan:
            parts.append(dim(self._plan))
        return Group(*parts)


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


def of_plan(finished: int, total: int, left: str) -> str:
    """Return the progress of the whole plan in one line."""
    return f"plan: {numbers.count(finished)} of {numbers.count(total)} cells done · {left}"


def outcome(result: CellResult) -> str:
    """Return the outcome of a cell in one line."""
    if result.status != "ok":
        shown = clean(f"{result.status}: {result.reason}" if result.reason else result.status)
        return f"{shown} ({code_of(result)})"
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
