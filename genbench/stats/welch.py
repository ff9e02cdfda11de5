"""The difference between the means of two unpaired sets of processes, by Welch's t."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from genbench.stats.exact_sums import exact_sums
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

    @property
    def two_sided(self) -> float:
        """The probability of a difference at least this large in either direction if there were none."""
        return min(1.0, 2 * Difference(abs(self.mean), self.standard_error, self.degrees).p_value(0.0))


class Level(NamedTuple):
    """An estimated value, such as the mean of a sample, and how well its error is known."""

    value: float
    standard_error: float
    degrees: float = math.inf  # of freedom of the standard error; infinite if it is known


def level(sample: Sequence[float]) -> Level:
    """Return the mean of a sample with its standard error; raise ValueError for fewer than two values, or NaN."""
    if len(sample) < 2 or not all(math.isfinite(value) for value in sample):
        raise ValueError("a difference needs at least two values per side, all of them finite")
    sums = exact_sums(sample)
    return Level(sums.mean, math.sqrt(sums.variance / len(sample)), len(sample) - 1)


def difference(base: Level, head: Level) -> Difference:
    """Return the difference of two independent values.

    Its degrees of freedom follow from the approximation of Welch 1947 and Satterthwaite 1946.
    """
    error = math.hypot(base.standard_error, head.standard_error)
    if error == 0:
        return Difference(head.value - base.value, 0.0, base.degrees + head.degrees)
    share = (base.standard_error / error) ** 2
    inverse = share**2 / base.degrees + (1 - share) ** 2 / head.degrees
    return Difference(head.value - base.value, error, 1 / inverse if inverse else math.inf)


def welch(base: Sequence[float], head: Sequence[float]) -> Difference:
    """Return the difference of two samples with unequal variances (Welch 1947), at least two values in each.

    Raises ValueError for fewer, or for values that are not finite.
    """
    return difference(level(base), level(head))


def known_errors(base: float, base_error: float, head: float, head_error: float) -> Difference:
    """Return the difference of two values with known, independent standard errors."""
    return difference(Level(base, base_error), Level(head, head_error))
