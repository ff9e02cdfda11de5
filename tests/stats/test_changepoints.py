"""Changes of level in a series: found where they are, and rarely elsewhere."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbench.stats.changepoints import (
    MAX_VALUES,
    MIN_SEGMENT,
    PENALTY,
    RESOLUTION,
    segments,
)

SERIES = st.lists(st.floats(-100, 100), max_size=14)


def noise(rng: random.Random, number: int, sd: float = 0.03) -> list[float]:
    return [rng.gauss(0, sd) for _ in range(number)]


@given(SERIES)
def test_segments_cover_the_series_and_each_has_enough_values(values: list[float]) -> None:
    found = segments(values)
    assert [p.start for p in found] == [0, *(p.stop for p in found[:-1])][: len(found)]
    assert (found[-1].stop if found else 0) == len(values)
    assert all(p.stop - p.start >= MIN_SEGMENT for p in found) or len(found) == 1
    for piece in found:
        own = values[piece.start : piece.stop]
        assert min(own) <= piece.level <= max(own)


@given(SERIES, st.floats(-50, 50))
def test_neither_an_offset_nor_the_sign_moves_a_cut(values: list[float], offset: float) -> None:
    """On a grid, so that sums are exact and rounding does not decide between equally good cuts."""
    values = [round(8 * value) / 8 for value in values]
    offset = float(round(offset))

    def cuts(changed: list[float]) -> list[int]:
        return [piece.start for piece in segments(changed)]

    assert cuts([value + offset for value in values]) == cuts([-value for value in values]) == cuts(values)


@given(st.lists(st.integers(-20, 20), min_size=MIN_SEGMENT, max_size=9))
def test_no_other_way_to_cut_is_better(whole: list[int]) -> None:
    """Compared with all possible cuts, by brute force."""
    values = [float(value) for value in whole]

    def cost(bounds: tuple[int, ...]) -> float:
        parts = [values[a:b] for a, b in pairwise(bounds)]
        distance = sum(min(sum(abs(v - level) for v in part) for level in part) for part in parts)
        scale = max(distance / len(values), RESOLUTION)
        return 2 * len(values) * math.log(scale) + PENALTY * (len(parts) - 1) * math.log(len(values))

    def ways(start: int) -> list[tuple[int, ...]]:
        if start == len(values):
            return [()]
        stops = range(start + MIN_SEGMENT, len(values) + 1)
        return [(stop, *rest) for stop in stops for rest in ways(stop)]

    best = min(cost((0, *way)) for way in ways(0))
    assert cost((0, *(piece.stop for piece in segments(values)))) == pytest.approx(best)


def test_exact_steps_are_found_exactly() -> None:
    values = [1.0] * 5 + [2.0] * 3 + [1.5] * 7
    assert [(p.start, p.stop, p.level) for p in segments(values)] == [(0, 5, 1.0), (5, 8, 2.0), (8, 15, 1.5)]
    assert len(segments([3.0] * 20)) == 1


def test_a_single_disturbed_run_is_not_a_change() -> None:
    values = noise(random.Random(0), 20)
    values[7] += 1.0
    assert len(segments(values)) == 1


@pytest.mark.parametrize(("number", "most"), [(6, 0.12), (10, 0.12), (20, 0.09), (40, 0.05)])
def test_false_cuts_are_rare_and_a_change_of_three_deviations_is_found(number: int, most: float) -> None:
    rng = random.Random(number)
    series = [noise(rng, number) for _ in range(200)]
    assert sum(len(segments(values)) > 1 for values in series) / len(series) <= most
    half = number // 2
    shifted = [[v + (0.09 if n >= half else 0) for n, v in enumerate(values)] for values in series]
    found = sum(any(abs(p.start - half) <= 1 for p in segments(values)[1:]) for values in shifted)
    assert found / len(series) >= 0.75


def test_short_series_are_one_segment_and_values_that_are_not_finite_are_rejected() -> None:
    assert segments([]) == []
    assert [len(segments([float(n) for n in range(number)])) for number in range(1, 6)] == [1] * 5
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="finite"):
            segments([1.0, value])


def test_only_the_latest_values_of_a_long_series_are_analysed() -> None:
    values = [0.0] * MAX_VALUES + [5.0] * 40
    assert [piece.start for piece in segments(values)] == [0, MAX_VALUES]
