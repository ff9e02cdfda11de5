"""The best of k trials, against all subsets counted one by one, closed forms, and simulated searches."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbench.stats.best_of import best_of, interval_ranks, running_best

VALUES = st.lists(st.one_of(st.integers(-5, 5), st.just(math.inf)), min_size=1, max_size=7)


@given(VALUES)
def test_mean_and_median_are_those_over_all_subsets(values: list[float]) -> None:
    for point in best_of(values):
        bests = [min(subset) for subset in itertools.combinations(values, point.trials)]
        assert point.expected == pytest.approx(sum(bests) / len(bests))
        middle = statistics.median(bests)
        assert point.median == middle


@given(VALUES)
def test_more_trials_are_never_worse_and_all_of_them_reach_the_best(values: list[float]) -> None:
    curve = best_of(values)
    for name in ("expected", "median"):
        line = [getattr(point, name) for point in curve]
        assert all(later <= earlier or later == pytest.approx(earlier) for earlier, later in itertools.pairwise(line))
    assert curve[-1].expected == curve[-1].median == min(values) == running_best(values)[-1]
    assert all(point.low <= point.median <= point.high for point in curve)
    assert curve == best_of(values[::-1])  # the order of the trials says nothing


def test_the_mean_has_no_bias_where_the_estimator_with_replacement_has_one() -> None:
    """The best of 5 uniform trials is 1/6 on average; Dodge et al.'s estimator from 10 of them exceeds it."""
    rng = random.Random(0)
    unbiased, with_replacement = [], []
    for _ in range(4000):
        values = sorted(rng.random() for _ in range(10))
        unbiased.append(best_of(values)[4].expected)
        weights = [((10 - i) / 10) ** 5 - ((9 - i) / 10) ** 5 for i in range(10)]
        with_replacement.append(sum(w * v for w, v in zip(weights, values, strict=True)))
    error = statistics.stdev(unbiased) / math.sqrt(len(unbiased))
    assert abs(statistics.mean(unbiased) - 1 / 6) < 4 * error
    assert statistics.mean(with_replacement) - 1 / 6 > 10 * error


@pytest.mark.parametrize(("n", "k"), [(10, 1), (20, 1), (20, 3), (20, 5), (20, 20), (50, 5), (50, 50), (100, 30)])
def test_the_interval_covers_the_median_best_at_the_stated_rate(n: int, k: int) -> None:
    """Skewed values, as distances are; the median of the best of k exponential trials is ln 2 / k."""
    rng = random.Random(n * k)
    searches, truth, covered = 6000, math.log(2) / k, 0
    low, high, stated = interval_ranks(n, k, 0.95)
    for _ in range(searches):
        below = sum(rng.expovariate(1.0) <= truth for _ in range(n))
        covered += low <= below < high
    point = best_of(range(1, n + 1))[k - 1]
    assert (point.low, point.high, point.confidence) == (low or -math.inf, high if high <= n else math.inf, stated)
    assert stated >= 0.95
    assert covered / searches == pytest.approx(stated, abs=0.01)
    assert covered / searches == pytest.approx(0.965, abs=0.02)


@pytest.mark.parametrize("n", [1, 4, 5, 20, 200, 1000])
def test_ranks_attain_the_confidence_and_are_the_narrowest(n: int) -> None:
    scipy = pytest.importorskip("scipy.stats")
    for k in {1, 2, n // 2 or 1, n}:
        low, high, attained = interval_ranks(n, k, 0.95)
        trials_below = scipy.binom(n, -math.expm1(-math.log(2) / k))
        assert attained == pytest.approx(trials_below.cdf(high - 1) - trials_below.cdf(low - 1), abs=1e-9)
        assert attained >= 0.95
        if low >= 1 and high - low > 1:
            for start in range(1, n + 1 - (high - low - 1)):
                inner = trials_below.cdf(start + high - low - 2) - trials_below.cdf(start - 1)
                assert inner < 0.95 + 1e-9


def test_few_trials_bound_nothing_and_failed_trials_count() -> None:
    assert best_of([1.0])[0].low == -math.inf and best_of([1.0])[0].high == math.inf
    one, two, *_, last = best_of([3.0, math.inf, 1.0, math.inf, math.inf])
    assert (one.median, one.expected) == (math.inf, math.inf)
    assert (two.median, two.expected) == (3.0, math.inf)
    assert (last.median, last.expected, last.low) == (1.0, 1.0, -math.inf)
    with pytest.raises(ValueError, match="is a number"):
        best_of([math.nan])
    with pytest.raises(ValueError, match="between 1 and"):
        best_of([])
