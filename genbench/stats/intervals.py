"""Statistics of repeated measurements; pure functions, no I/O."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from genbench.stats.exact_sums import exact_sums


class Interval(NamedTuple):
    """A median with a distribution-free interval."""

    median: float
    low: float
    high: float
    confidence: float  # attained coverage; below the requested one if there are few samples


def median_interval(samples: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the sample median and the narrowest symmetric pair of order statistics that covers the true median.

    With n independent samples, [x_(k), x_(n+1-k)] covers the median with probability 1 - 2·P(Binomial(n, ½) < k)
    (David & Nagaraja, Order Statistics, 7.1). With too few samples for `confidence` it is the whole range, and the
    returned coverage is lower. Raises ValueError without samples or with one that is not finite.
    """
    if not samples or not all(math.isfinite(sample) for sample in samples):
        raise ValueError("a median needs at least one sample, all of them finite")
    ordered = sorted(samples)
    n = len(ordered)
    middle = n // 2
    median = ordered[middle] if n % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    k, coverage = 1, _coverage(n, 1)
    while k < (n + 1) // 2 and _coverage(n, k + 1) >= confidence:
        k += 1
        coverage = _coverage(n, k)
    return Interval(median, ordered[k - 1], ordered[n - k], coverage)


def half_width(value: float, low: float, high: float) -> float:
    """Return the larger half of the interval [low, high] as a share of its median; 0 if that is not positive."""
    return max(high - value, value - low, 0.0) / value if value > 0 else 0.0


class Mean(NamedTuple):
    """A mean and its standard error."""

    value: float
    standard_error: float | None  # None for a single sample


def mean_and_error(samples: Sequence[float]) -> Mean:
    """Return the sample mean and its standard error, s / √n with s² = Σ(x - x̄)² / (n - 1).

    The samples must be independent: seeds are, windows of one training are not. Sums are exact, so that equal samples
    have an error of exactly 0. Raises ValueError without samples or with one that is not finite.
    """
    if not samples or not all(math.isfinite(sample) for sample in samples):
        raise ValueError("a mean needs at least one sample, all of them finite")
    exact = [float(sample) for sample in samples]
    if len(exact) == 1:
        return Mean(exact[0], None)
    if exact.count(exact[0]) == len(exact):
        return Mean(exact[0] + 0.0, 0.0)
    sums = exact_sums(exact)
    return Mean(sums.mean, sums.standard_deviation / math.sqrt(len(exact)))


def _coverage(n: int, k: int) -> float:
    """Return the probability that the k-th smallest and k-th largest of n samples enclose the median."""
    below = sum(math.comb(n, i) for i in range(k))
    return max(0.0, 1.0 - 2 * below / float(2**n))
