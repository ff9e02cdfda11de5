"""How long a training warms up, and how many steps a window on an accelerator gets."""

from __future__ import annotations

import pytest

from genbench.cell.training_loop import _Warmup
from genbench.results.schema import Window


def warm_up(warmup: _Warmup, seconds_per_step: float) -> list[int]:
    """Return the number of steps of each window of a warm-up, in which a step always takes as long."""
    steps: list[int] = []
    while left := warmup.steps_left:
        steps.append(left)
        seconds = left * seconds_per_step
        warmup.count(Window(step=sum(steps), steps=left, images=left, seconds=seconds, warmup=True))
    return steps


def test_a_cpu_warms_up_for_the_steps_of_the_recipe() -> None:
    assert warm_up(_Warmup(steps=10, most=500, seconds=0.0), 0.001) == [10]


def test_an_accelerator_warms_up_for_a_second() -> None:
    assert sum(warm_up(_Warmup(steps=10, most=50_000, seconds=1.0), 0.001)) == 1000
    assert warm_up(_Warmup(steps=10, most=50_000, seconds=1.0), 0.5) == [10]


def test_a_short_training_uses_half_of_its_steps_at_most() -> None:
    assert sum(warm_up(_Warmup(steps=10, most=40, seconds=1.0), 0.001)) == 40


def test_no_warm_up_is_none_also_on_an_accelerator() -> None:
    assert warm_up(_Warmup(steps=0, most=0, seconds=1.0), 0.001) == []


@pytest.mark.parametrize("seconds", [0.0, 1e-9])
def test_a_clock_that_stands_still_ends_the_warm_up(seconds: float) -> None:
    assert sum(warm_up(_Warmup(steps=1, most=20, seconds=1.0), seconds)) == 20
