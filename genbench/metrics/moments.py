"""Sufficient statistics of features, which merge: what a Gaussian needs to know of images that come in batches.

Mean and centred scatter of two sets give those of their union (Chan, Golub and LeVeque, Updating formulae and a
pairwise algorithm for computing sample variances, 1979), so images may come in any order and from several workers, and
a block can be taken out again. Everything is float64 and centred before it is squared: raw sums of squares lose the
digits that mean² has more than the variance.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genbench.exchange import Statistics
from genbench.features.gaussian import factor_of


@dataclass(frozen=True)
class Moments:
    """Count, mean and centred scatter of a set of features."""

    n: int
    mean: Tensor  # (d,), float64
    scatter: Tensor  # (d, d), float64: Σ (x - mean)(x - mean)ᵀ

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Return the moments of features (N, d), N ≥ 1; raise ValueError where a feature is NaN or infinite."""
        centred, mean = centre(features, fewest=1)
        return cls(len(centred), mean, centred.T @ centred)

    def add(self, features: Tensor) -> Moments:
        """Return the moments with more features (N, d)."""
        return self + Moments.of(features)

    def __add__(self, other: Moments) -> Moments:
        n = self.n + other.n
        shift = self._shift(other)
        scatter = self.scatter + other.scatter
        scatter.addr_(shift, shift, alpha=self.n * other.n / n)
        return Moments(n, self.mean + shift * (other.n / n), scatter)

    def __sub__(self, block: Moments) -> Moments:
        """Take a part out again; raise ValueError where nothing would be left."""
        n = self.n - block.n
        if n < 1:
            raise ValueError(f"{block.n} of {self.n} images cannot be taken out: nothing is left.")
        shift = self._shift(block)
        scatter = self.scatter - block.scatter
        scatter.addr_(shift, shift, alpha=-block.n * self.n / n)
        return Moments(n, self.mean - shift * (block.n / n), scatter)

    def statistics(self) -> Statistics:
        """Return the Gaussian; raise ValueError where there are fewer than two images."""
        if self.n < 2:
            raise ValueError(f"a covariance needs two images at least; there are {self.n}.")
        return Statistics(self.mean, factor_of(self.scatter / (self.n - 1), self.n - 1), self.n)

    def _shift(self, other: Moments) -> Tensor:
        if self.mean.shape != other.mean.shape:
            raise ValueError(f"features of {len(self.mean)} and {len(other.mean)} dimensions do not belong together.")
        return other.mean - self.mean


def centre(features: Tensor, fewest: int = 2) -> tuple[Tensor, Tensor]:
    """Return float64 features (N, d) less their mean, and the mean (d,).

    Raises ValueError where there are fewer than `fewest` rows, or where a feature is NaN or infinite.
    """
    if features.ndim != 2:
        raise ValueError(f"features have the shape {tuple(features.shape)}, not (N, d).")
    if len(features) < fewest:
        if fewest == 1:
            raise ValueError("there are no images.")
        raise ValueError(f"a covariance needs two images at least; there are {len(features)}.")
    features = features.double()
    if not bool(features.isfinite().all()):
        raise ValueError(f"{int((~features.isfinite().all(1)).sum())} images have features that are not finite.")
    mean = features.mean(0)
    return features - mean, mean
