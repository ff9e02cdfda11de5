"""Time to quality: the first evaluation from which on a metric stays at its target."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbench.api.evaluation import Direction, Estimate
from genbench.gate.time_to_target import TargetReached, time_to_target
from genbench.results.schema import EvaluationPoint, Target, Window


def course(*values: float | None) -> tuple[list[EvaluationPoint], list[Window]]:
    """Return evaluations after every 10 steps of 32 images, each step a tenth of a second; None: not measured."""
    points, windows = [], []
    for number, value in enumerate(values, start=1):
        found = [] if value is None else [Estimate("fd", value, 0.5, 100, "lower")]
        points.append(EvaluationPoint(step=10 * number, images=320 * number, estimates=found))
        windows += [Window(step=10 * number + end, steps=5, images=160, seconds=0.5) for end in (-5, 0)]
    return points, windows


def reached(*values: float | None, at: float = 40.0, direction: Direction = "lower") -> TargetReached | None:
    return time_to_target(*course(*values), Target(metric="fd", value=at, direction=direction))


def test_the_target_is_reached_where_the_metric_stays_at_or_below_it() -> None:
    assert reached(90, 60, 40, 39) == TargetReached(step=30, images=960, seconds=3.0)


@pytest.mark.parametrize("values", [(90, 60, 41), (30, 30, 41), (30, None), (30, math.nan), (30, -math.inf), ()])
def test_the_target_is_not_reached_if_the_last_evaluation_misses_it(values: Sequence[float | None]) -> None:
    assert reached(*values) is None


def test_the_last_time_the_target_is_reached_counts() -> None:
    assert reached(90, 30, 60, 35, 30) == TargetReached(step=40, images=1280, seconds=4.0)


def test_the_first_evaluation_can_reach_the_target() -> None:
    assert reached(30, 20, 10) == TargetReached(step=10, images=320, seconds=1.0)
    assert reached(30) == TargetReached(step=10, images=320, seconds=1.0)


@pytest.mark.parametrize("gap", [None, math.nan])
def test_an_evaluation_without_a_value_misses_the_target(gap: float | None) -> None:
    assert reached(30, gap, 30, 30) == TargetReached(step=30, images=960, seconds=3.0)


def test_if_higher_is_better_the_target_is_a_lower_bound() -> None:
    assert reached(10, 20, 25, at=20, direction="higher") == TargetReached(step=20, images=640, seconds=2.0)
    assert reached(30, 25, 19, at=20, direction="higher") is None
    assert reached(30, math.inf, at=20, direction="higher") is None


def test_other_metrics_are_ignored() -> None:
    assert time_to_target(*course(1.0, 1.0), Target(metric="psnr", value=40.0, direction="lower")) is None


def test_seconds_include_training_and_warm_up() -> None:
    points, windows = course(90, 30, 30)
    windows[0] = Window(step=5, steps=5, images=160, seconds=7.0, warmup=True)
    found = time_to_target(points, windows, Target(metric="fd", value=40.0, direction="lower"))
    assert found == TargetReached(step=20, images=640, seconds=8.5)


@given(st.lists(st.integers(0, 9).map(float), min_size=1), st.integers(0, 9), st.integers(0, 9))
def test_a_harder_target_is_never_reached_sooner(values: list[float], one: int, other: int) -> None:
    easy, hard = reached(*values, at=max(one, other)), reached(*values, at=min(one, other))
    if hard is not None:
        assert easy is not None
        assert easy <= hard
