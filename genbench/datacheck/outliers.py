"""Quantiles of a value over images, and robust outlier scores, which the outliers themselves hardly affect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Numbers = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Spread:
    """Quantiles of a value over all images."""

    least: float
    low: float  # 5 % are below
    median: float
    high: float  # 5 % are above
    greatest: float


def spread(values: Numbers) -> Spread:
    """Return the quantiles of values (N,), N at least 1."""
    return Spread(*(round(float(value), 3) for value in np.quantile(values, (0, 0.05, 0.5, 0.95, 1))))


def modified_z(values: Numbers) -> Numbers:
    """Return the modified z-score (N,) of each value: 0.6745 (x - median) / MAD.

    Where more than half of the values are equal, so that the median absolute deviation is 0, the mean absolute
    deviation replaces it: (x - median) / (1.2533 MeanAD). Iglewicz & Hoaglin 1993, "How to Detect and Handle
    Outliers", section 3.
    """
    deviations = values.astype(np.float64) - np.median(values)
    scale = np.median(np.abs(deviations)) / 0.6745 or 1.2533 * np.abs(deviations).mean()
    scores: Numbers = deviations / scale if scale > 0 else deviations
    return scores
