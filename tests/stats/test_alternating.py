"""Two sides in alternating windows: closed forms."""

from __future__ import annotations

import math
import random

import pytest

from genbench.stats.alternating import log_ratio, pair_log_ratios, spread


def test_a_pair_gives_the_logarithm_of_the_second_side_over_the_first() -> None:
    assert pair_log_ratios("ABBA", [1.0, 2.0, 6.0, 2.0]) == pytest.approx([math.log(2), math.log(3)])


def test_the_median_ignores_a_few_disturbed_pairs() -> None:
    quiet = [1.0, 1.1] * 2 + [1.0, 1.1] * 2
    assert log_ratio("AB" * 4, [*quiet[:6], 9.0, 1.1]) == pytest.approx(math.log(1.1))


@pytest.mark.parametrize("values", [[0.0, 1.0, 1.0, 1.0], []])
def test_windows_without_a_value_give_none(values: list[float]) -> None:
    assert math.isnan(log_ratio("ABBA"[: len(values)], values))


def test_the_spread_of_normal_numbers_is_their_standard_deviation() -> None:
    draws = random.Random(0)
    assert spread([draws.gauss(0.0, 0.03) for _ in range(5_000)]) == pytest.approx(0.03, rel=0.05)
    assert math.isnan(spread([]))
    assert math.isnan(spread([0.1, math.nan]))
