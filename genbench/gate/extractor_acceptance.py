"""Whether a fast path of an extractor may replace the exact one."""

from __future__ import annotations

import math
from dataclasses import dataclass

TOLERANCE = 0.1  # of the standard error of the distance


@dataclass(frozen=True)
class Acceptance:
    """Fast compared with exact features of the same held-out images."""

    extractor: str
    dataset: str
    data_hash: str
    precision: str
    compiled: bool
    n: int  # images
    difference: float  # Fréchet distance between fast and exact features; inf: some are not finite
    distance: float  # of the exact features from the training images'
    standard_error: float  # of that distance
    fast_distance: float  # of the fast features from the training images'
    speedup: float  # ratio of times, from interleaved calls
    device: str

    @property
    def tolerated(self) -> float:
        """The largest difference that is accepted."""
        return TOLERANCE * self.standard_error

    @property
    def accepted(self) -> bool:
        """Whether the difference is below a tenth of the standard error."""
        return math.isfinite(self.difference) and self.difference < self.tolerated
