"""Power is that of the noncentral t; variance components add up and their interval covers."""

from __future__ import annotations

import math
import random

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from genbench.stats.power_of_t import detectable, paired_power, seeds_needed
from genbench.stats.seed_comparison import compare_seeds
from genbench.stats.variance_components import variance_components


@pytest.mark.parametrize("seeds", [2, 3, 5, 12, 60, 400])
@pytest.mark.parametrize("ratio", [0.0, 0.2, 1.0, 3.0])
@pytest.mark.parametrize("error", [0.05, 0.001])
def test_power_is_that_of_the_noncentral_t(seeds: int, ratio: float, error: float) -> None:
    shift, beyond = ratio * math.sqrt(seeds), scipy.stats.t.isf(error / 2, seeds - 1)
    peer = scipy.stats.nct.sf(beyond, seeds - 1, shift)
    if shift < 4:  # beyond, the lower tail is below 1e-9, and scipy's is wrong by 1e-5
        peer += scipy.stats.nct.cdf(-beyond, seeds - 1, shift)
    if math.isnan(peer):  # scipy overflows far from 0
        peer = 1.0
    assert paired_power(-ratio, 1.0, seeds, error) == pytest.approx(peer, abs=1e-6)


def test_seeds_and_detectable_differences_invert_power() -> None:
    needed = seeds_needed(1.0, 1.0, 0.05, 0.8)
    assert needed == 10  # as in the tables for a paired t with effect size 1
    assert paired_power(1.0, 1.0, 9, 0.05) < 0.8 <= paired_power(1.0, 1.0, 10, 0.05)
    assert paired_power(detectable(2.0, 7, 0.05, 0.9), 2.0, 7, 0.05) == pytest.approx(0.9, abs=1e-5)
    assert seeds_needed(0.0, 1.0, 0.05, 0.8) is None
    assert seeds_needed(1e-6, 1.0, 0.05, 0.8) is None
    assert seeds_needed(1.0, 0.0, 0.05, 0.8) == 2
    assert detectable(0.0, 5, 0.05, 0.8) == 0.0


def test_the_forecast_is_reached_in_simulation() -> None:
    """2,000 repetitions, standard error 0.9 points. The long run: benchmarks/statistics/power.py."""
    draw = random.Random(4)
    seeds = seeds_needed(1.0, 1.5, 0.05, 0.8)
    assert seeds is not None
    found = 0
    for _ in range(2_000):
        base = {n: draw.gauss(10, 1) for n in range(seeds)}
        head = {n: 11 + draw.gauss(0, math.sqrt(1.25)) for n in range(seeds)}
        found += compare_seeds(base, head).p_value < 0.05
    assert found / 2_000 == pytest.approx(paired_power(1.0, 1.5, seeds, 0.05), abs=0.05)


@pytest.mark.parametrize(
    "given", [(1.0, 1.0, 1, 0.05), (1.0, 1.0, 5, 0.0), (math.nan, 1.0, 5, 0.05), (1.0, -1.0, 5, 0.05)]
)
def test_no_power_for_bad_input(given: tuple[float, float, int, float]) -> None:
    with pytest.raises(ValueError, match="no power"):
        paired_power(*given)


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(0, 50)), min_size=2, max_size=9))
def test_components_add_up_and_the_interval_holds_the_estimate(seeds: list[tuple[float, float]]) -> None:
    found = variance_components(*zip(*seeds, strict=True))
    assert found.low <= found.training <= found.high or found.total == pytest.approx(found.sampling)
    assert 0 <= found.sampling_share <= 1
    if found.remark:
        assert found.training == 0
        assert found.total <= found.sampling
    else:
        assert found.training + found.sampling == pytest.approx(found.total)


def test_a_known_mixture_is_taken_apart() -> None:
    """Training sd 2, sampling sd 1: the mean of the estimates is 4, and 95 % of the intervals hold 4."""
    draw = random.Random(1)
    estimates, covered = [], 0
    for _ in range(2_000):
        values = [draw.gauss(0, 2) + draw.gauss(0, 1) for _ in range(6)]
        found = variance_components(values, [1.0] * 6)
        estimates.append(found.total - found.sampling)
        covered += found.low <= 4 <= found.high
    assert sum(estimates) / len(estimates) == pytest.approx(4, rel=0.05)
    assert covered / 2_000 == pytest.approx(0.95, abs=0.02)


def test_a_negative_component_is_shown_as_0_with_the_reason() -> None:
    found = variance_components([1.0, 1.1, 0.9], [1.0, 1.0, 1.0])
    assert (found.training, found.low, found.sampling_share) == (0.0, 0.0, 1.0)
    assert "no more than drawing samples explains" in found.remark


@pytest.mark.parametrize("values", [([1.0], [0.1]), ([1.0, 2.0], [0.1]), ([1.0, math.nan], [0.1] * 2)])
def test_components_need_two_values_with_errors(values: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ValueError, match="at least two values"):
        variance_components(*values)
