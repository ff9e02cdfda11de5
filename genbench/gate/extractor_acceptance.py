"""Whether a fast path of an extractor may stand for the exact one."""

from __future__ import annotations

import math
from dataclasses import dataclass

TOLERATED = 0.1  # of the standard error of the distance


@dataclass(frozen=True)
class Acceptance:
    """Fast beside exact features of the same held-out images."""

    extractor: str
    dataset: str
    data_hash: str
    precision: str
    compiled: bool
    n: int  # images
    difference: float  # Fréchet distance of the fast from the exact features; inf: some are not finite
    distance: float  # of the exact features from the training images'
    standard_error: float  # of that distance
    fast_distance: float  # of the fast features from the training images'
    speedup: float  # how many times as fast, from interleaved calls
    device: str

    @property
    def tolerated(self) -> float:
        """The largest difference that is accepted."""
        return TOLERATED * self.standard_error

    @property
    def accepted(self) -> bool:
        """Whether the difference is below a tenth of the standard error."""
        return math.isfinite(self.difference) and self.difference < self.tolerated
