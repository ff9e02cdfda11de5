"""Time to quality: the first evaluation from which a metric stays at its target until the end."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbench.api.evaluation import Direction, Estimate
from genbench.gate.time_to_target import Reached, time_to_target
from genbench.results.schema import EvaluationPoint, Target, Window


def course(*values: float | None) -> tuple[list[EvaluationPoint], list[Window]]:
    """Return evaluations after every 10 steps of 32 images, each step a tenth of a second; None: not measured."""
    points, windows = [], []
    for number, value in enumerate(values, start=1):
        found = [] if value is None else [Estimate("fd", value, 0.5, 100, "lower")]
        points.append(EvaluationPoint(step=10 * number, images=320 * number, estimates=found))
        windows += [Window(step=10 * number + end, steps=5, images=160, seconds=0.5) for end in (-5, 0)]
    return points, windows


def reached(*values: float | None, at: float = 40.0, direction: Direction = "lower") -> Reached | None:
    return time_to_target(*course(*values), Target(metric="fd", value=at, direction=direction))


def test_it_is_reached_where_it_stays_at_or_below() -> None:
    assert reached(90, 60, 40, 39) == Reached(step=30, images=960, seconds=3.0)


@pytest.mark.parametrize("values", [(90, 60, 41), (30, 30, 41), (30, None), (30, math.nan), (30, -math.inf), ()])
def test_it_is_not_reached_where_the_end_misses_it(values: Sequence[float | None]) -> None:
    assert reached(*values) is None


def test_it_counts_from_when_it_is_reached_for_good() -> None:
    assert reached(90, 30, 60, 35, 30) == Reached(step=40, images=1280, seconds=4.0)


def test_it_can_be_there_at_once() -> None:
    assert reached(30, 20, 10) == Reached(step=10, images=320, seconds=1.0)
    assert reached(30) == Reached(step=10, images=320, seconds=1.0)


@pytest.mark.parametrize("gap", [None, math.nan])
def test_an_evaluation_without_a_value_shows_nothing(gap: float | None) -> None:
    assert reached(30, gap, 30, 30) == Reached(step=30, images=960, seconds=3.0)


def test_where_higher_is_better_the_target_is_a_floor() -> None:
    assert reached(10, 20, 25, at=20, direction="higher") == Reached(step=20, images=640, seconds=2.0)
    assert reached(30, 25, 19, at=20, direction="higher") is None
    assert reached(30, math.inf, at=20, direction="higher") is None


def test_another_metric_is_no_answer() -> None:
    assert time_to_target(*course(1.0, 1.0), Target(metric="psnr", value=40.0, direction="lower")) is None


def test_seconds_are_those_of_training_up_to_there_warm_up_included() -> None:
    points, windows = course(90, 30, 30)
    windows[0] = Window(step=5, steps=5, images=160, seconds=7.0, warmup=True)
    found = time_to_target(points, windows, Target(metric="fd", value=40.0, direction="lower"))
    assert found == Reached(step=20, images=640, seconds=8.5)


@given(st.lists(st.integers(0, 9).map(float), min_size=1), st.integers(0, 9), st.integers(0, 9))
def test_a_harder_target_is_never_reached_sooner(values: list[float], one: int, other: int) -> None:
    easy, hard = reached(*values, at=max(one, other)), reached(*values, at=min(one, other))
    if hard is not None:
        assert easy is not None
        assert easy <= hard
