"""Mean, variance and standard deviation of floats, correctly rounded, as `statistics` computes them.

The sums are of integers, as every float is one divided by a power of two. That is about ten times as fast as the
fractions of `statistics`, which a table over seeds of thousands of cells notices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple


class ExactSums(NamedTuple):
    """A mean, and the variance Σ(x - x̄)² / (n - 1) as a fraction of integers."""

    mean: float
    numerator: int
    denominator: int

    @property
    def variance(self) -> float:
        """The variance."""
        return self.numerator / self.denominator

    @property
    def standard_deviation(self) -> float:
        """The square root of the variance, rounded once."""
        # Enough bits before the division that only its rounding counts; the last bit records whether any were lost.
        shift = max(0, 110 + self.denominator.bit_length() - self.numerator.bit_length())
        shift += shift % 2
        scaled, rest = divmod(self.numerator << shift, self.denominator)
        root = math.isqrt(scaled)
        return (root | (rest > 0 or root * root != scaled)) / (1 << shift // 2)


def exact_sums(samples: Sequence[float]) -> ExactSums:
    """Return mean and variance of two or more finite samples."""
    ratios = [sample.as_integer_ratio() for sample in samples]
    common = max(denominator for _, denominator in ratios)
    integers = [numerator * (common // denominator) for numerator, denominator in ratios]
    n, total = len(integers), sum(integers)
    squares = sum(integer * integer for integer in integers)
    return ExactSums(total / (n * common), n * squares - total * total, n * (n - 1) * common * common)
