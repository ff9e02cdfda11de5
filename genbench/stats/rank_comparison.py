"""Several methods on several datasets: average ranks, Friedman's test and Nemenyi's critical difference.

Demšar 2006, "Statistical comparisons of classifiers over multiple data sets". The p-values are approximations that need
about ten datasets; with fewer they are rough. Benavoli, Corani & Mangili 2016, "Should we really use post-hoc tests
based on mean-ranks?": the verdict on two methods depends on the others in the comparison, so the paired comparison of
two methods decides about these two, and the ranks only summarise.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from genbench.stats.chi_squared import chi_squared_tail
from genbench.stats.paired_tests import average_ranks
from genbench.stats.student_t import f_tail

_STEPS = 800  # of the integral, which is then correct to ten digits
_REACH = 9.0  # standard deviations


@dataclass(frozen=True)
class RankComparison:
    """Average ranks over datasets, and whether they differ by more than chance."""

    datasets: int
    ranks: list[float]  # of each method, 1 is best
    chi_squared: float  # Friedman's statistic, corrected for ties
    p_friedman: float
    p_iman_davenport: float  # by the F distribution: less conservative, and better for few datasets
    critical_difference: float  # of average ranks, by Nemenyi

    def p_nemenyi(self, one: int, other: int) -> float:
        """Return the p-value of two methods, already corrected for all pairs."""
        methods = len(self.ranks)
        error = math.sqrt(methods * (methods + 1) / (12 * self.datasets))
        return range_tail(abs(self.ranks[one] - self.ranks[other]) / error, methods)


def compare_ranks(values: Sequence[Sequence[float]], error: float = 0.05) -> RankComparison:
    """Compare methods by their ranks on each dataset.

    Args:
        values: a row per dataset, with one value per method; smaller is better.
        error: probability of any false difference between two methods, for the critical difference.

    Raises ValueError for fewer than two datasets or methods, rows of different lengths, or values that are not finite.
    """
    datasets, methods = len(values), len(values[0]) if values else 0
    if datasets < 2 or methods < 2 or any(len(row) != methods for row in values):
        raise ValueError("ranks need at least two datasets with the same two or more methods")
    if not all(math.isfinite(value) for row in values for value in row):
        raise ValueError("ranks need finite values")
    ranked = [average_ranks(row) for row in values]
    ranks = [math.fsum(row[method] for row in ranked) / datasets for method in range(methods)]
    middle = (methods + 1) / 2
    between = 12 * datasets / (methods * (methods + 1)) * math.fsum((rank - middle) ** 2 for rank in ranks)
    tied = sum(count**3 - count for row in values for count in Counter(row).values())
    room = 1 - tied / (datasets * (methods**3 - methods))
    statistic = between / room if room > 0 else 0.0
    rest = datasets * (methods - 1) - statistic
    if rest <= 1e-12 * datasets * methods:
        # The order is the same on every dataset. F is infinite, so count: this is one of all equally likely orders.
        orders = math.factorial(methods) // math.prod(map(math.factorial, Counter(values[0]).values()))
        p_value = 1 / orders ** (datasets - 1)
    else:
        f = (datasets - 1) * statistic / rest
        p_value = f_tail(f, methods - 1, (methods - 1) * (datasets - 1))
    reach = range_quantile(1 - error, methods) * math.sqrt(methods * (methods + 1) / (12 * datasets))
    return RankComparison(datasets, ranks, statistic, chi_squared_tail(statistic, methods - 1), p_value, reach)


def range_tail(q: float, count: int) -> float:
    """Return P(largest - smallest > q) of `count` independent standard normal values (Tukey's studentised range)."""
    if q <= 0:
        return 1.0
    normal = statistics.NormalDist()
    step = (2 * _REACH + q) / _STEPS
    # The largest is at z, and all others lie between z - q and z. Simpson's rule.
    total = 0.0
    for n in range(_STEPS + 1):
        z = -_REACH + n * step
        weight = 1 if n in (0, _STEPS) else 4 if n % 2 else 2
        total += weight * normal.pdf(z) * (normal.cdf(z) - normal.cdf(z - q)) ** (count - 1)
    return min(1.0, max(0.0, 1 - count * total * step / 3))


def range_quantile(probability: float, count: int) -> float:
    """Return q with P(largest - smallest ≤ q) = `probability` for `count` independent standard normal values."""
    low, high = 0.0, 20.0
    while high - low > 1e-10:
        middle = (low + high) / 2
        low, high = (middle, high) if range_tail(middle, count) > 1 - probability else (low, middle)
    return (low + high) / 2
