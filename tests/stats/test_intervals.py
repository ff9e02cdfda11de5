"""The interval of a median, against brute force and simulation; the error of a mean, against closed forms."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genbench.stats.intervals import mean_and_error, median_interval

FLOATS = st.floats(-1e6, 1e6)


def coverage_by_counting(n: int, k: int) -> float:
    """Return the share of the 2^n ways to lie below or above the median in which x_(k) and x_(n+1-k) enclose it."""
    enclosed = sum(k <= sum(below) <= n - k for below in itertools.product((0, 1), repeat=n))
    return enclosed / 2**n


@pytest.mark.parametrize("n", range(1, 13))
def test_the_interval_is_the_narrowest_that_covers_enough(n: int) -> None:
    found = median_interval(range(1, n + 1))
    k = int(found.low)
    assert found.high == n + 1 - k
    assert found.confidence == pytest.approx(coverage_by_counting(n, k))
    if found.confidence < 0.95:
        assert k == 1  # it cannot be wider
    if k + 1 < n + 1 - (k + 1):
        assert coverage_by_counting(n, k + 1) < 0.95


def test_published_order_statistics() -> None:
    """Conover, Practical Nonparametric Statistics: the ranks of the 95 % interval for n = 10 and n = 20."""
    ten, twenty = median_interval(range(1, 11)), median_interval(range(1, 21))
    assert (ten.low, ten.high, round(ten.confidence, 4)) == (2, 9, 0.9785)
    assert (twenty.low, twenty.high, round(twenty.confidence, 4)) == (6, 15, 0.9586)


def test_the_interval_covers_the_true_median_at_the_stated_rate() -> None:
    rng = random.Random(0)
    trials, covered = 4000, 0
    for _ in range(trials):  # skewed, as times are: the median of an exponential distribution is ln 2
        found = median_interval([rng.expovariate(1.0) for _ in range(15)])
        covered += found.low <= 0.6931471805599453 <= found.high
    assert covered / trials == pytest.approx(found.confidence, abs=3 * (0.05 * 0.95 / trials) ** 0.5 + 0.002)


@given(st.lists(FLOATS, min_size=1, max_size=50), st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_matter(samples: list[float], rng: random.Random) -> None:
    found = median_interval(samples)
    assert found.low <= found.median <= found.high
    shuffled = list(samples)
    rng.shuffle(shuffled)
    assert median_interval(shuffled) == found


@given(st.lists(FLOATS, min_size=6, max_size=50), st.floats(0.5, 0.9), st.floats(0.9, 0.99))
def test_more_confidence_is_never_narrower(samples: list[float], less: float, more: float) -> None:
    narrow, wide = median_interval(samples, less), median_interval(samples, more)
    assert wide.low <= narrow.low
    assert narrow.high <= wide.high


@pytest.mark.parametrize("samples", [[], [1.0, float("nan")], [float("inf")]])
def test_no_interval_without_finite_samples(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        median_interval(samples)


def test_one_sample_has_no_coverage() -> None:
    assert median_interval([3.0]) == (3.0, 3.0, 3.0, 0.0)


@pytest.mark.parametrize("n", range(2, 40))
def test_the_error_of_the_mean_of_consecutive_integers(n: int) -> None:
    """The variance of 1 … n with n - 1 in the denominator is n(n + 1) / 12, so the error is √((n + 1) / 12)."""
    found = mean_and_error(range(1, n + 1))
    assert found.value == (n + 1) / 2
    assert found.standard_error == pytest.approx(math.sqrt((n + 1) / 12))


def test_the_error_of_the_mean_is_the_spread_of_means() -> None:
    rng = random.Random(1)
    found = [mean_and_error([rng.gauss(5.0, 2.0) for _ in range(4)]) for _ in range(4000)]
    spread = math.sqrt(sum((mean.value - 5.0) ** 2 for mean in found) / len(found))
    claimed = math.sqrt(sum((mean.standard_error or 0.0) ** 2 for mean in found) / len(found))
    assert spread == pytest.approx(1.0, abs=0.05)  # 2 / √4
    assert claimed == pytest.approx(1.0, abs=0.05)


@given(st.lists(FLOATS, min_size=2, max_size=20), st.floats(-1e3, 1e3), st.integers(-8, 8))
def test_the_error_of_the_mean_changes_with_scale_but_not_with_shift(
    samples: list[float], shift: float, power: int
) -> None:
    found = mean_and_error(samples)
    assert found.standard_error is not None
    assert mean_and_error([sample * 2.0**power for sample in samples]) == pytest.approx(
        (found.value * 2.0**power, found.standard_error * 2.0**power)
    )
    shifted = mean_and_error([sample + shift for sample in samples])
    assert shifted == pytest.approx((found.value + shift, found.standard_error), rel=1e-6, abs=1e-6)


@given(FLOATS, st.integers(2, 60))
def test_equal_samples_have_no_spread_at_all(sample: float, n: int) -> None:
    assert mean_and_error([sample] * n) == (sample, 0.0)


def test_one_sample_has_no_standard_error() -> None:
    assert mean_and_error([3]) == (3.0, None)


@pytest.mark.parametrize("samples", [[], [1.0, float("nan")], [float("inf")]])
def test_no_mean_without_finite_samples(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one sample"):
        mean_and_error(samples)
