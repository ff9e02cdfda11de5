"""When a cell ended, on a machine whose clock is set while the cell runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from genbench.cell.run import end_of

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize("elapsed", [0.0, 60.0, 36_000.0])
def test_an_ordinary_clock_is_believed_without_a_note(elapsed: float) -> None:
    assert end_of(START, after(elapsed + 1), elapsed) == (after(elapsed + 1), "")


def test_the_end_is_never_before_the_start() -> None:
    end, note = end_of(START, after(-3600), elapsed=60)
    assert end == after(60)
    assert "clock was set back by 3,660 s" in note


def test_a_clock_that_was_set_forward_or_a_suspended_machine_is_said() -> None:
    end, note = end_of(START, after(7260), elapsed=60)
    assert end == after(7260)
    assert "went forward by 7,200 s more" in note
