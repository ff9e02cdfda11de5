"""A one-sided t test that is repeated after each further observation: how small must p be, to bound any false alarm?

If all observations are normal with mean 0, let r = Σx / √(n Σx²), so that t = r √(n - 1) / √(1 - r²). The next one is

    r' = (r √n + v) / √((n + 1)(1 + v²)),   v = x' / √(Σx²).

The direction of a sample is independent of its length, so √n v has Student's t distribution with n degrees of freedom
and is independent of all r so far. The probability of rejecting after both n and n + 1 observations, A(n) ∩ A(n + 1),
is therefore an integral over one variable. It sharpens the bound that adds up the probabilities of all tests
(Hunter 1976, "An upper bound for the probability of a union"; Worsley 1982, "An improved Bonferroni inequality and
applications"): P(∪ A(n)) ≤ Σ P(A(n)) - Σ P(A(n) ∩ A(n + 1)).
"""

from __future__ import annotations

import math
from functools import lru_cache

from genbench.stats.student_t import t_quantile, t_tail

_HALVINGS = 10  # of the interval that holds the logarithm of a level
_STEPS = 30  # of an integral
_SHARE = 0.15  # of the logarithm of the tail, by which it falls in one step


@lru_cache(1024)
def repeated_level(error: float, first: int, last: int) -> float:
    """Return the p-value that each test must reach for the probability of any false alarm to be at most `error`.

    It is nearly the largest such value. Raises ValueError for an error outside (0, 0.1], or looks out of order.

    Args:
        error: probability of a false alarm, over all tests.
        first: observations at the first test, at least 2.
        last: observations at the last test; there is one after each observation between.
    """
    if not 0 < error <= 0.1 or not 2 <= first <= last:
        raise ValueError("repeated tests need an error of at most 0.1, and observations from 2 on, in order")
    low, high = error / (last - first + 1), error  # the bound is at most, and at least, the error
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if false_alarms(middle, first, last) <= error else (low, middle)
    return low


def false_alarms(level: float, first: int, last: int) -> float:
    """Return a bound of the probability that any of the tests reaches p ≤ `level` though the mean is 0."""
    return level + math.fsum(level - _both(level, n) for n in range(first, last))


def _both(level: float, n: int) -> float:
    """Return P(A(n) ∩ A(n + 1)), rounded down: the step at each t has the probability of its smallest value."""
    t = t_quantile(1 - level, n - 1)
    after = t_quantile(1 - level, n)
    least = after / math.sqrt(n + after * after)
    ratio = math.exp(_SHARE / (n * t * t / (n - 1 + t * t)))
    total, tail = 0.0, level
    for _ in range(_STEPS):
        further = t_tail(t * ratio, n - 1)
        total += (tail - further) * _again(t / math.sqrt(n - 1 + t * t), least, n)
        t, tail = t * ratio, further
    return total + tail * _again(t / math.sqrt(n - 1 + t * t), least, n)


def _again(r: float, least: float, n: int) -> float:
    """Return the probability that r' is at least `least`, which lies above 1 / √(n + 1).

    (r √n + v)² ≥ least² (n + 1)(1 + v²), with r √n + v ≥ 0, holds between two values of v.
    """
    start, curve = r * math.sqrt(n), least * least * (n + 1) - 1
    root = start * start - curve * (curve + 1 - start * start)
    if root <= 0:
        return 0.0
    low, high = (start - math.sqrt(root)) / curve, (start + math.sqrt(root)) / curve
    scale = math.sqrt(n)
    return max(0.0, t_tail(scale * max(low, -start), n) - t_tail(scale * high, n))
