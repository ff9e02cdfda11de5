"""The expected score of a perfect generator: the Fréchet distance between two finite samples of one Gaussian.

A sample of N has a distance from its own distribution, which for N ≫ d is about

    tr Σ / N + (Σᵢⱼ λᵢ λⱼ / (λᵢ + λⱼ) + tr Σ / 2) / (2 (N - 1))        (λ: the d eigenvalues of Σ)

and grows as d²; for the distance from another sample of size M, replace 1/N by 1/N + 1/M. Where N is not far above d,
the expansion is off by many per cent, so the expectation is taken over random draws. A draw does not need N × d
numbers: the triangular factor of a sample's scatter has independent normal entries, and roots of χ² on its diagonal
(Bartlett, On the theory of statistical regression, 1933).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genbench.api.evaluation import Statistics
from genbench.metrics.frechet import frechet_distance, smaller_gram

_DRAWS = 64  # at most; draws of few dimensions vary more than those of many
_DIMENSIONS = 4096  # in all draws together, but at least two draws
_TOLERANCE = 1e-3  # of one draw: far below the variation between draws
_WHITENING = 2  # reference images per feature; with fewer, the whitened distance has no useful expectation


def null_distance(reference: Statistics, n: int, seed: int = 0, whitened: bool = False) -> float | None:
    """Return the expected distance of n ≥ 2 images from `reference` if both have the same distribution.

    Args:
        reference: its covariance is taken for the distribution's; if its own n is set, it is a finite sample too.
        n: images of the perfect generator.
        seed: of the draws; the same everywhere, so that cells of equal size share one null.
        whitened: whether both samples are whitened by the reference's statistics, which makes its covariance I.

    Returns None if the reference is whitened and has fewer than two images per feature.
    """
    scales = torch.linalg.eigvalsh(smaller_gram(reference.factor)).clamp_min(0).sqrt()
    d, other = len(scales), reference.n
    if d == 0:
        return 0.0
    if whitened and other is not None and other < _WHITENING * d:
        return None
    rng = np.random.default_rng(seed)
    draws = min(_DRAWS, max(2, _DIMENSIONS // d))
    return sum(_draw(scales, n, other, whitened, rng) for _ in range(draws)) / draws


def _draw(scales: Tensor, n: int, other: int | None, whitened: bool, rng: np.random.Generator) -> float:
    sample = _factor(len(scales), n, rng) * scales
    if other is None:
        reference, inverse = scales.diag(), 1.0
    else:
        reference, inverse = _factor(len(scales), other, rng) * scales, 1.0 + n / other
    if whitened:
        spread = torch.linalg.solve_triangular(reference, sample, upper=True, left=False)
        roots = torch.linalg.solve_triangular(reference, torch.diag(scales), upper=True, left=False)
        means, sample, reference = roots.square().sum(), spread, torch.eye(len(scales), dtype=torch.float64)
    else:
        means = scales.square().sum()
    zero = torch.zeros(len(scales), dtype=torch.float64)
    spreads = frechet_distance(Statistics(zero, sample, n), Statistics(zero, reference, other), _TOLERANCE)
    return spreads + float(means) * inverse / n  # the expected contribution of the means is known exactly


def _factor(d: int, n: int, rng: np.random.Generator) -> Tensor:
    """Return a factor (min(n - 1, d), d) of the covariance of n draws from N(0, I)."""
    rows = min(n - 1, d)
    factor = np.triu(rng.standard_normal((rows, d)), 1)
    factor[np.arange(rows), np.arange(rows)] = np.sqrt(rng.chisquare(n - 1 - np.arange(rows)))
    return torch.as_tensor(factor / (n - 1) ** 0.5)
