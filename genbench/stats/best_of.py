"""The best of k trials: what tuning a model k times reaches, from n ≥ k trials that were made.

Each quantity belongs to the distribution of the best of k independent trials (Dodge et al. 2019, "Show your work"). The
estimator there replaces the distribution of a trial by that of the n values, drawn with replacement; it is biased
towards worse values (Tang et al. 2020, "Showing your work doesn't always work"). Here subsets are drawn without
replacement, which has no bias. The interval is that of the median best of k, as the median is a quantile of a single
trial and so has an exact interval (Lourie, Cho & He 2023, "Show your work with confidence"); no interval of the mean is
valid without knowing the tails.

Assumption: the trials are independent draws from one distribution, as those of random search are.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

MOST_TRIALS = 1_000  # of the probabilities below; sums of a thousand terms are exact to ten digits


@dataclass(frozen=True)
class BestOf:
    """The best of k independent trials; smaller is better."""

    trials: int
    expected: float  # infinite if k failed trials could be drawn
    median: float
    low: float  # interval of the median best; -inf: these trials do not bound how good it may be
    high: float
    confidence: float  # attained coverage of [low, high]


def best_of(values: Sequence[float], confidence: float = 0.95) -> list[BestOf]:
    """Return the best of 1, 2, …, n trials from the n values of independent trials, of which smaller ones are better.

    A failed trial is infinite: it is a trial, and the worst one. Raises ValueError without values, for more than
    `MOST_TRIALS`, and for one that is NaN or -inf.
    """
    if not 0 < len(values) <= MOST_TRIALS:
        raise ValueError(f"the best of k needs between 1 and {MOST_TRIALS} trials")
    if any(math.isnan(value) or value == -math.inf for value in values):
        raise ValueError("the value of a trial is a number, or inf for a failed trial")
    ordered = sorted(map(float, values))
    return [_best_of(ordered, k, confidence) for k in range(1, len(ordered) + 1)]


def running_best(values: Sequence[float]) -> list[float]:
    """Return the smallest of the first 1, 2, …, n values, in the order in which trials were made."""
    best, found = math.inf, []
    for value in values:
        best = min(best, value)
        found.append(best)
    return found


@lru_cache(4096)
def interval_ranks(n: int, k: int, confidence: float) -> tuple[int, int, float]:
    """Return which order statistics of n trials enclose the median best of k, and with which probability.

    The median m of the best of k has P(a trial ≤ m) = p = 1 - 2^(-1/k). The number of trials ≤ m is binomial, so the
    l-th and u-th smallest enclose it with probability P(l ≤ Binomial(n, p) < u) (David & Nagaraja, Order Statistics,
    7.1). The ranks depend on n, k and `confidence` only: the narrowest pair that has the confidence, if there is none
    the best rank with an open lower end (l = 0), else no bound at all (0, n + 1).
    """
    p = -math.expm1(-math.log(2) / k)
    chances = [math.comb(n, i) * p**i * (1 - p) ** (n - i) if n < 500 else _chance(n, i, p) for i in range(n + 1)]
    below = [0.0]
    for chance in chances:
        below.append(below[-1] + chance)
    closed = []
    for low in range(1, n):
        high = bisect.bisect_left(below, below[low] + confidence, low + 1)
        if high <= n:
            closed.append((high - low, below[low] - below[high], low, high))
    if closed:
        _, _, low, high = min(closed)
        return low, high, below[high] - below[low]
    high = bisect.bisect_left(below, confidence)
    if high <= n:
        return 0, high, below[high]
    return 0, n + 1, 1.0


def _chance(n: int, i: int, p: float) -> float:
    logarithm = math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
    return math.exp(logarithm + i * math.log(p) + (n - i) * math.log1p(-p))


def _best_of(ordered: Sequence[float], k: int, confidence: float) -> BestOf:
    n = len(ordered)
    subsets = math.comb(n, k)
    # Of all subsets of k trials, C(n - j, k - 1) have the j-th smallest value as their best.
    weights = [math.comb(n - j, k - 1) for j in range(1, n + 1)]
    expected = math.fsum(weight / subsets * value for weight, value in zip(weights, ordered, strict=True) if weight)
    lowest, highest, attained = interval_ranks(n, k, confidence)
    low = ordered[lowest - 1] if lowest else -math.inf
    high = ordered[highest - 1] if highest <= n else math.inf
    return BestOf(k, expected, _median(ordered, weights, subsets), low, high, attained)


def _median(ordered: Sequence[float], weights: Sequence[int], subsets: int) -> float:
    """Return the median over all subsets of their best values."""
    counted = 0
    for place, weight in enumerate(weights):
        counted += weight
        if 2 * counted > subsets:
            return ordered[place]
        if 2 * counted == subsets:
            return (ordered[place] + ordered[place + 1]) / 2
    raise AssertionError("the weights of all subsets sum up to their number")
