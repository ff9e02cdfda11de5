"""Sufficient statistics of a Gaussian fitted to features; they can be merged, so images may come in batches.

Mean and centred scatter of two sets give those of their union (Chan, Golub and LeVeque, Updating formulae and a
pairwise algorithm for computing sample variances, 1979), so images may come in any order and from several workers, and
a block can be removed again. Everything is float64 and centred before it is squared: raw sums of squares would lose
precision where mean² is much larger than the variance.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genbench.api.evaluation import Rows, Statistics
from genbench.features.covariance_factor import factor_of
from genbench.features.feature_file import chunks


@dataclass(frozen=True)
class Moments:
    """Count, mean and centred scatter of a set of features."""

    n: int
    mean: Tensor  # (d,), float64
    scatter: Tensor  # (d, d), float64: Σ (x - mean)(x - mean)ᵀ

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Return the moments of features (N, d), N ≥ 1; raise ValueError where a feature is NaN or infinite."""
        require_finite(features)
        mean = features.double().mean(0)
        centred = features.double() - mean
        return cls(len(centred), mean, centred.T @ centred)

    def add(self, features: Tensor) -> Moments:
        """Return the moments including further features (N, d)."""
        return self + Moments.of(features)

    def __add__(self, other: Moments) -> Moments:
        n = self.n + other.n
        shift = self._shift(other)
        scatter = self.scatter + other.scatter
        scatter.addr_(shift, shift, alpha=self.n * other.n / n)
        return Moments(n, self.mean + shift * (other.n / n), scatter)

    def __sub__(self, block: Moments) -> Moments:
        """Remove a block again; raise ValueError where nothing would remain."""
        n = self.n - block.n
        if n < 1:
            raise ValueError(f"{block.n} of {self.n} images cannot be removed: none would remain.")
        shift = self._shift(block)
        scatter = self.scatter - block.scatter
        scatter.addr_(shift, shift, alpha=-block.n * self.n / n)
        return Moments(n, self.mean - shift * (block.n / n), scatter)

    def statistics(self) -> Statistics:
        """Return the Gaussian; raise ValueError where there are fewer than two images."""
        if self.n < 2:
            raise ValueError(f"a covariance needs at least two images; there are {self.n}.")
        return Statistics(self.mean, factor_of(self.scatter / (self.n - 1), self.n - 1), self.n)

    def _shift(self, other: Moments) -> Tensor:
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"features of {len(self.mean)} and {len(other.mean)} dimensions cannot be merged.")
        return other.mean - self.mean


def require_two_finite(features: Rows) -> None:
    """Raise ValueError where features (N, d) have fewer than two rows, or where one is NaN or infinite."""
    if len(features.shape) == 2 and len(features) < 2:
        raise ValueError(f"a covariance needs at least two images; there are {len(features)}.")
    require_finite(features)


def require_finite(features: Rows) -> None:
    """Raise ValueError where features are not (N, d) of at least one image, or where one is NaN or infinite."""
    if len(features.shape) != 2:
        raise ValueError(f"features have the shape {tuple(features.shape)}, not (N, d).")
    if len(features) == 0:
        raise ValueError("there are no images.")
    bad = sum(int((~part.isfinite().all(1)).sum()) for part in chunks(features))
    if bad:
        raise ValueError(f"{bad} images have features that are not finite.")
