"""Where the spread over seeds comes from: training again, or drawing samples again.

The value of a seed is the model's true value, which varies between trainings with variance σ², plus an error of
measurement whose variance e² is known from its standard error. So the variance over seeds estimates σ² + e², and
subtracting the mean of e² leaves σ²: the method of moments. The variance of n normal values is distributed as
(σ² + e²) χ² / (n - 1), which gives the interval; it is exact if e² is known and equal in all seeds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from genbench.stats.chi_squared import chi_squared_quantile

CONFIDENCE = 0.95


@dataclass(frozen=True)
class VarianceComponents:
    """The variance of one seed's value, in two parts."""

    seeds: int
    total: float  # sample variance over seeds
    sampling: float  # mean squared standard error
    training: float  # the rest; 0 if it is negative
    low: float  # bounds of the training variance, at 95 %
    high: float
    remark: str = ""  # why the training variance is 0

    @property
    def sampling_share(self) -> float:
        """The share of the variance that more samples would remove, from 0 to 1."""
        known = self.sampling + self.training
        return self.sampling / known if known > 0 else 0.0


def variance_components(values: Sequence[float], errors: Sequence[float]) -> VarianceComponents:
    """Split the variance of one value per seed, given the standard error of each.

    Raises ValueError for fewer than two values, for as many errors as there are not values, or for a number that is not
    finite or an error below 0.
    """
    if len(values) < 2 or len(values) != len(errors) or not all(math.isfinite(v) for v in (*values, *errors)):
        raise ValueError("variance components need at least two values, each with its error, all of them finite")
    if any(error < 0 for error in errors):
        raise ValueError("a standard error is not negative")
    degrees = len(values) - 1
    total = float(statistics.variance([float(value) for value in values]))
    sampling = math.fsum(error**2 for error in errors) / len(errors)
    tail = (1 - CONFIDENCE) / 2
    low = degrees * total / chi_squared_quantile(1 - tail, degrees) - sampling
    high = degrees * total / chi_squared_quantile(tail, degrees) - sampling
    remark = "the seeds differ by no more than drawing samples explains" if total <= sampling else ""
    return VarianceComponents(
        len(values), total, sampling, max(0.0, total - sampling), max(0.0, low), max(0.0, high), remark
    )
