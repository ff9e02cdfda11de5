"""The difference between the means of two unpaired sets of processes, by Welch's t."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from genbench.stats.student_t import t_quantile, t_tail


@dataclass(frozen=True)
class Difference:
    """The estimate of head's mean minus base's."""

    mean: float
    standard_error: float
    degrees: float  # of freedom; infinite if the standard errors are known

    def bounds(self, error: float) -> tuple[float, float]:
        """Return the lower and the upper bound, each wrong with probability at most `error`."""
        if math.isinf(self.degrees):
            reach = statistics.NormalDist().inv_cdf(1 - error) * self.standard_error
        else:
            reach = t_quantile(1 - error, self.degrees) * self.standard_error
        return self.mean - reach, self.mean + reach

    def p_value(self, limit: float) -> float:
        """Return the probability of a difference at least this large if the true one were `limit`."""
        if self.standard_error == 0:
            return 0.0 if self.mean > limit else 1.0
        t = (self.mean - limit) / self.standard_error
        return 1 - statistics.NormalDist().cdf(t) if math.isinf(self.degrees) else t_tail(t, self.degrees)


def welch(base: Sequence[float], head: Sequence[float]) -> Difference:
    """Return the difference of two samples with unequal variances (Welch 1947), at least two values in each.

    Raises ValueError for fewer, or for values that are not finite.
    """
    if min(len(base), len(head)) < 2 or not all(math.isfinite(value) for value in (*base, *head)):
        raise ValueError("a difference needs at least two values per side, all of them finite")
    one, other = statistics.variance(base) / len(base), statistics.variance(head) / len(head)
    mean = statistics.mean(head) - statistics.mean(base)
    if one + other == 0:
        return Difference(mean, 0.0, len(base) + len(head) - 2)
    share = one / (one + other)
    degrees = 1 / (share**2 / (len(base) - 1) + (1 - share) ** 2 / (len(head) - 1))
    return Difference(mean, math.sqrt(one + other), degrees)


def known_errors(base: float, base_error: float, head: float, head_error: float) -> Difference:
    """Return the difference of two values with known, independent standard errors."""
    return Difference(head - base, math.hypot(base_error, head_error), math.inf)
