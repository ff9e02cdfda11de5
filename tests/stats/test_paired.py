"""The effect of a change from paired blocks: known answers, invariances, and coverage by simulation."""

from __future__ import annotations

import math
import random

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from genbench.stats.paired import effect, hodges_lehmann

RATIOS = st.lists(st.floats(-1, 1), min_size=2, max_size=30)


def test_bounds_are_those_of_the_one_sample_t_test() -> None:
    ratios = [0.02, 0.05, -0.01, 0.04, 0.03]
    peer = scipy.stats.ttest_1samp(ratios, 0.0).confidence_interval(0.95)
    assert effect(ratios).bounds(0.025) == pytest.approx((peer.low, peer.high))
    one_sided = scipy.stats.ttest_1samp(ratios, 0.01, alternative="greater")
    assert effect(ratios).p_value(0.01) == pytest.approx(one_sided.pvalue)


@given(RATIOS)
def test_exchanging_base_and_head_negates_the_effect(ratios: list[float]) -> None:
    there, back = effect(ratios), effect([-ratio for ratio in ratios])
    assert back.mean == pytest.approx(-there.mean, abs=1e-12)
    assert back.robust == pytest.approx(-there.robust, abs=1e-12)
    low, high = there.bounds(0.01)
    assert back.bounds(0.01) == pytest.approx((-high, -low), abs=1e-12)


@given(RATIOS, st.randoms(use_true_random=False))
def test_the_order_of_blocks_does_not_matter(ratios: list[float], order: random.Random) -> None:
    shuffled = list(ratios)
    order.shuffle(shuffled)
    assert effect(shuffled).mean == pytest.approx(effect(ratios).mean, abs=1e-12)
    assert effect(shuffled).robust == pytest.approx(effect(ratios).robust, abs=1e-12)


@given(st.floats(-0.5, 0.5), st.integers(2, 20))
def test_identical_blocks_have_no_error(ratio: float, blocks: int) -> None:
    found = effect([ratio] * blocks)
    assert found.spread == 0
    assert found.bounds(0.001) == (ratio, ratio)
    assert found.p_value(ratio - 0.1) == 0
    assert found.p_value(ratio) == 1
    assert found.p_value(ratio + 0.1) == 1


def test_one_disturbed_block_moves_the_mean_and_not_the_robust_estimate() -> None:
    found = effect([0.0] * 11 + [1.2])
    assert found.mean == pytest.approx(0.1)
    assert found.robust == 0


def test_hodges_lehmann_of_three_values_by_hand() -> None:
    # pairs: 1, 2.5, 5, 4, 6.5, 9 -> the median lies between 4 and 5
    assert hodges_lehmann([1, 4, 9]) == 4.5


@pytest.mark.parametrize("ratios", [[], [0.1], [0.1, math.nan], [0.1, math.inf]])
def test_too_few_or_non_finite_blocks_are_rejected(ratios: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two blocks"):
        effect(ratios)


def test_a_detectable_effect_is_detected_at_the_stated_power() -> None:
    draws = random.Random(5)
    spread, blocks, error, power = 0.035, 12, 0.01, 0.8
    reach = effect([spread * x for x in _standardised(blocks)]).detectable(error, power)
    found = 0
    for _ in range(2_000):
        ratios = [draws.gauss(reach, spread) for _ in range(blocks)]
        found += effect(ratios).bounds(error)[0] > 0
    assert found / 2_000 == pytest.approx(power, abs=0.04)


@pytest.mark.slow
def test_intervals_cover_the_truth_at_the_stated_rate() -> None:
    draws = random.Random(11)
    for blocks in (2, 5, 12):
        missed = 0
        for _ in range(4_000):
            low, high = effect([draws.gauss(0.03, 0.04) for _ in range(blocks)]).bounds(0.025)
            missed += not low <= 0.03 <= high
        assert missed / 4_000 == pytest.approx(0.05, abs=0.012)  # 3.5 standard errors


def test_more_blocks_are_needed_near_the_limit() -> None:
    found = effect([0.02, 0.04, 0.03, 0.05, 0.01])
    near, far = found.blocks_to_decide(0.028, 0.01, 0.95), found.blocks_to_decide(0.10, 0.01, 0.95)
    assert near is not None
    assert far is not None
    assert near > 10 * far
    assert found.blocks_to_decide(found.mean, 0.01, 0.95) is None


def _standardised(n: int) -> list[float]:
    values = [i - (n - 1) / 2 for i in range(n)]
    spread = math.sqrt(sum(v * v for v in values) / (n - 1))
    return [v / spread for v in values]
