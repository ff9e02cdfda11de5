"""The Fréchet distance between two sets of features, by a formula that cannot fail.

    FD = |μ₁ - μ₂|² + tr Σ₁ + tr Σ₂ - 2 tr (Σ₁ Σ₂)^½        (Dowson and Landau, 1982; Heusel et al., 2017, eq. 6)

With any factors Σ = FᵀF the last trace is the nuclear norm ‖F₁ F₂ᵀ‖₊, a sum of singular values (Mathiasen and Hvilshøj,
arXiv:2009.14075). So there is no matrix square root, no imaginary part to drop and no ε to add; the distance of a set
from itself is zero to rounding, with fewer images than features too. All arithmetic is in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.exchange import Statistics as Statistics
from genbench.metrics.jackknife import standard_error_from_replicates
from genbench.metrics.moments import centre

# Networks compute features in float32, to 1e-7 of their size. A direction that spreads less than ten times that shows
# their rounding, which whitening would blow up to the size of a feature.
NULL_SPREAD = 1e-6


def statistics(features: Tensor) -> Statistics:
    """Return the Gaussian fitted to features (N, d), N ≥ 2.

    Raises ValueError where there are fewer than two images, or where a feature is NaN or infinite.
    """
    centred, mean = centre(features)
    n, d = centred.shape
    # R of a QR decomposition has the same Gram matrix, and unlike the covariance does not square the condition number
    factor = torch.linalg.qr(centred, mode="r").R if n > d else centred
    return Statistics(mean=mean, factor=factor / (n - 1) ** 0.5, n=n)


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """Return the Fréchet distance between two Gaussians of the same dimension: ≥ 0, symmetric, 0 for equals."""
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features of {len(a.mean)} and {len(b.mean)} dimensions have no distance.")
    cross = torch.linalg.svdvals(a.factor @ b.factor.T).sum()
    squared = (a.mean - b.mean).square().sum() + a.factor.square().sum() + b.factor.square().sum() - 2 * cross
    # Below zero lies only rounding, of the order of ε (tr Σ₁ + tr Σ₂): cutting it off hides nothing.
    return max(0.0, float(squared))


def jackknife_standard_error(features: Tensor, reference: Statistics, blocks: Sequence[Tensor]) -> float:
    """Return the standard error of FD(features, reference) from sampling `features`, by the delete-block jackknife.

    `blocks` holds the row numbers of each block (`genbench.metrics.jackknife.make_blocks`). The reference is held
    fixed. Where the distance is no more than the bias of a finite sample, its error is of second order and this
    estimate is only its order of magnitude. A bootstrap would be worse: resampling adds a bias of its own.
    """
    centred, mean = centre(features)
    # tr (Σ Σ_ref)^½ = ‖C F_refᵀ‖₊ / √(n-1): deleting rows of C deletes rows of this product
    spread = _Spread.of(centred @ reference.factor.T)
    norms = centred.square().sum(1)
    total = norms.sum()
    replicates = []
    for block in blocks:
        rest = len(centred) - len(block)
        shift = -centred[block].sum(0) / rest  # of the mean, by deleting the block
        trace = (total - norms[block].sum() - rest * shift.square().sum()) / (rest - 1)
        cross = spread.nuclear_norm_without(block) / (rest - 1) ** 0.5
        replicates.append((mean + shift - reference.mean).square().sum() + trace - 2 * cross)
    return standard_error_from_replicates(torch.stack(replicates))  # tr Σ_ref, a constant, has no error


def whiten(reference: Statistics) -> Callable[[Tensor], Tensor]:
    """Return the map of features (N, d) to (N, r) under which `reference` has mean 0 and covariance I.

    Directions in which the reference does not vary beyond rounding are dropped: they have no scale to be measured by.
    Raises ValueError where it varies in none.
    """
    _, scales, directions = torch.linalg.svd(reference.factor, full_matrices=False)
    magnitude = torch.maximum(scales.max(), reference.mean.abs().max())
    kept = scales > NULL_SPREAD * magnitude
    if not kept.any():
        raise ValueError("the reference features are all the same: there is no spread to measure distances by.")
    transform = directions[kept].T / scales[kept]
    return lambda features: (features.double() - reference.mean) @ transform


@dataclass(frozen=True)
class _Spread:
    """Nuclear norms of a matrix of centred rows when some are deleted and the rest centred anew.

    ‖P‖₊ is the sum of the square roots of the eigenvalues of a Gram matrix, of which the smaller is taken: (r, r)
    with more rows than columns, where deleting a block is a subtraction, else (N, N), where it is a selection.
    Square roots of eigenvalues cost half of the digits; eight are left, and a standard error needs two.
    """

    rows: Tensor  # (N, r)
    gram: Tensor  # (r, r) or (N, N)

    @classmethod
    def of(cls, rows: Tensor) -> _Spread:
        return cls(rows, rows.T @ rows if len(rows) > rows.shape[1] else rows @ rows.T)

    def nuclear_norm_without(self, block: Tensor) -> Tensor:
        rest = len(self.rows) - len(block)
        if len(self.rows) > self.rows.shape[1]:
            deleted = self.rows[block]
            total = deleted.sum(0)  # the rows that remain sum to minus this
            gram = self.gram - deleted.T @ deleted - torch.outer(total, total) / rest
        else:
            kept = torch.ones(len(self.rows), dtype=torch.bool, device=self.rows.device)
            kept[block] = False
            gram = self.gram[kept][:, kept]
            gram = gram - gram.mean(0, keepdim=True) - gram.mean(1, keepdim=True) + gram.mean()
        eigenvalues: Tensor = torch.linalg.eigvalsh(gram)
        return eigenvalues.clamp_min(0).sqrt().sum()
