"""A display draws only inside its calls, not too often, and never fails the run."""

from __future__ import annotations

import errno
import io
import threading
from pathlib import Path

import pytest
from example_runs import cell
from rich.console import Console

from genbench.report.progress import (
    Display,
    LiveDisplay,
    PlainDisplay,
    QuietDisplay,
    choose_display,
    progress,
)
from genbench.results.schema import Proof


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drive(display: Display, clock: Clock, seconds: float = 12.5, calls: int = 100) -> None:
    display.run_started(2, Path("results/x"))
    display.cell_started("gan-1", 1, 2, "gan · non-saturating", 1875)
    display.cell_activity("gan-1", "loading data")
    for call in range(calls):
        clock.now += seconds / calls
        display.cell_progress("gan-1", call, 1234.5, {"generator": 1.25}, 9.5)
    display.cell_finished(cell("gan-1"))
    display.cell_started("vae-1", 2, 2, "vae · elbo", 1875)
    display.cell_finished(cell("vae-1", status="oom", reason="more than 2 GiB"))
    display.plan_progress(1, 2, "about 4 min left")
    display.message("done")
    display.close()


def test_plain_lines_are_few() -> None:
    stream, clock = io.StringIO(), Clock()
    drive(PlainDisplay(stream, clock), clock)
    assert stream.getvalue().splitlines() == [
        "2 cells -> results/x",
        "[1/2] gan · non-saturating: 1,875 steps",
        "[1/2] step 39 of 1,875 · 1,234 images/s · generator 1.25 · 9.5 s left",
        "[1/2] step 79 of 1,875 · 1,234 images/s · generator 1.25 · 9.5 s left",
        "[1/2] gan · non-saturating: ok in 1 min 01 s · 1,234 ±2% images/s · fd-cnn 34.57 ± 0.65",
        "[2/2] vae · elbo: 1,875 steps",
        "[2/2] vae · elbo: oom: more than 2 GiB (GB502)",
        "plan: 1 of 2 cells done · about 4 min left",
        "done",
    ]


def test_quiet_shows_failures_only() -> None:
    stream = io.StringIO()
    drive(QuietDisplay(stream), Clock())
    assert stream.getvalue() == "vae-1: oom: more than 2 GiB (GB502)\n"


def live(clock: Clock) -> tuple[LiveDisplay, io.StringIO]:
    stream = io.StringIO()
    return LiveDisplay(Console(file=stream, force_terminal=True, width=120), clock), stream


def test_live_shows_bar_numbers_and_outcomes() -> None:
    clock = Clock()
    display, stream = live(clock)
    drive(display, clock)
    text = stream.getvalue()
    for part in ("loading data", "gan · non-saturating", "1,234 images/s", "generator 1.25", "9.5 s left", "━"):
        assert part in text
    assert "fd-cnn 34.57 ± 0.65" in text
    assert "oom: more than 2 GiB" in text
    assert text.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in text  # the cursor is back


def test_live_draws_at_most_ten_times_a_second_and_only_inside_calls() -> None:
    clock = Clock()
    display, stream = live(clock)
    before = threading.active_count()
    display.run_started(1, Path("x"))
    display.cell_started("gan-1", 1, 1, "gan", 1000)
    drawn = 0
    for step in range(1000):  # one second
        clock.now += 0.001
        size = len(stream.getvalue())
        display.cell_progress("gan-1", step, 1000.0, {}, 1.0)
        drawn += len(stream.getvalue()) > size
    assert 8 <= drawn <= 11
    assert threading.active_count() == before  # nothing of it runs while a window is timed
    display.close()


def test_markup_and_escapes_of_a_plugin_are_text() -> None:
    clock = Clock()
    display, stream = live(clock)
    display.run_started(1, Path("x"))
    display.cell_started("x-1", 1, 1, "[red]gan[/red]\x1b[2J", 10)
    display.cell_finished(cell("x-1", status="failed", reason="[/nope] \x1b]0;title\x07"))
    display.close()
    assert "[red]gan[/red]" in stream.getvalue()
    assert "[/nope]" in stream.getvalue()
    assert "\x1b[2J" not in stream.getvalue()
    assert "\x1b]0" not in stream.getvalue()


def test_speed_without_training_is_not_shown() -> None:
    stream = io.StringIO()
    PlainDisplay(stream).cell_finished(cell("gan-1", proof=Proof(trained=False)))
    assert "images/s" not in stream.getvalue()


def test_the_display_suits_the_stream(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(choose_display(Terminal()), LiveDisplay)
    assert isinstance(choose_display(io.StringIO()), PlainDisplay)
    assert isinstance(choose_display(Terminal(), quiet=True), QuietDisplay)
    choose_display().message("to the side")
    assert capsys.readouterr() == ("", "to the side\n")


def test_a_stream_that_cannot_be_written_does_not_stop_the_run() -> None:
    closed = io.StringIO()
    closed.close()
    drive(PlainDisplay(closed), Clock())
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    PlainDisplay(ascii_only).message("1,234 ±2%")
    ascii_only.seek(0)
    assert ascii_only.read() == "1,234 ?2%\n"


def test_progress_says_what_it_knows() -> None:
    assert progress(5, 10, 12.3456, {}, float("inf")) == "step 5 of 10 · 12.3 images/s · ? s left"
    assert "nan" in progress(5, 10, 12.0, {"loss": float("nan")}, 1.0)


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error"), ValueError("I/O operation on closed file")]
)
def test_a_terminal_that_has_gone_does_not_stop_the_run(error: Exception) -> None:
    class Gone(Terminal):
        broken = False

        def write(self, text: str) -> int:
            if self.broken:
                raise error
            return super().write(text)

        def flush(self) -> None:
            if self.broken:
                raise error

    terminal = Gone()
    display = choose_display(terminal)
    display.run_started(2, Path("run"))
    display.cell_started("vae-1", 1, 2, "vae", 10)
    terminal.broken = True
    display.cell_activity("vae-1", "loading data")
    display.cell_progress("vae-1", 5, 100.0, {}, 1.0)
    display.message("a message")
    display.close()


def test_between_cells_the_display_shows_the_work_without_the_name_of_a_cell() -> None:
    clock = Clock()
    console = Console(file=Terminal(), width=80, force_terminal=True)
    display = LiveDisplay(console, clock)
    drive(display, clock, calls=1)
    display.cell_started("gan-1", 1, 1, "gan · hinge", 10)
    display.cell_activity("gan-1", "generating samples: 256 of 2,000")
    with console.capture() as during:
        console.print(display._frame())
    assert "gan · hinge" in during.get() and "generating samples: 256 of 2,000" in during.get()
    display.cell_finished(cell("gan-1"))
    display.cell_activity("", "noise: measuring psnr: 1 of 2")
    with console.capture() as after:
        console.print(display._frame())
    assert "gan" not in after.get() and "noise: measuring psnr: 1 of 2" in after.get()


def test_the_plan_is_shown_when_a_cell_has_ended_and_once_a_minute() -> None:
    stream, clock = io.StringIO(), Clock()
    display = PlainDisplay(stream, clock)
    for second in range(200):
        clock.now += 1
        display.plan_progress(0, 3, f"about {200 - second} s left")
    display.plan_progress(1, 3, "about 5 s left")
    assert stream.getvalue().splitlines() == [
        "plan: 0 of 3 cells done · about 141 s left",
        "plan: 0 of 3 cells done · about 81 s left",
        "plan: 0 of 3 cells done · about 21 s left",
        "plan: 1 of 3 cells done · about 5 s left",
    ]


def test_on_a_terminal_the_plan_stands_below_the_running_cells() -> None:
    console = Console(file=Terminal(), width=80, force_terminal=True)
    display = LiveDisplay(console, Clock())
    display.run_started(2, Path("x"))
    display.cell_started("gan-1", 1, 2, "gan", 10)
    display.plan_progress(0, 2, "about 4 min left")
    with console.capture() as shown:
        console.print(display._frame())
    display.close()
    _, _, below = shown.get().partition("gan")
    assert "plan: 0 of 2 cells done · about 4 min left" in below
