"""The Fréchet distance between two sets of features, by a numerically safe formula.

    FD = |μ₁ - μ₂|² + tr Σ₁ + tr Σ₂ - 2 tr (Σ₁ Σ₂)^½        (Dowson and Landau, 1982; Heusel et al., 2017, eq. 6)

With any factors Σ = FᵀF the last trace is the nuclear norm ‖F₁ F₂ᵀ‖₊, a sum of singular values (Mathiasen and Hvilshøj,
arXiv:2009.14075). So there is no matrix square root, no imaginary part to drop and no ε to add; the distance of a set
from itself is zero to rounding, even with fewer images than features. All arithmetic is in float64 and proceeds in
parts, so that the features may stay on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from genbench.api.evaluation import Rows
from genbench.api.evaluation import Statistics as Statistics
from genbench.features.feature_file import chunks
from genbench.metrics.moments import require_two_finite
from genbench.metrics.standard_errors import Deletions, Jackknife, VarianceParts, jackknife, rows_outside

# Networks compute features in float32, to 1e-7 of their size. A direction with less than ten times that spread contains
# only rounding, which whitening would amplify to the size of a feature.
NULL_SPREAD = 1e-6

_ROWS = 512  # in memory at a time
_EXACT = 512  # singular values; up to this many, computing them exactly costs next to nothing


def statistics(features: Rows, ddof: int = 1) -> Statistics:
    """Return the Gaussian fitted to features (N, d), N ≥ 2, in memory or on disk.

    The covariance is divided by N - ddof.

    Raises ValueError where there are fewer than two images, or where a feature is NaN or infinite.
    """
    require_two_finite(features)
    n, d = features.shape
    mean = _mean(features)
    # R of a QR decomposition has the same Gram matrix and, unlike the covariance, does not square the condition number;
    # stacking R on further rows and decomposing again gives the R of all rows
    factor = torch.empty(0, d, dtype=torch.float64, device=mean.device)
    for part in chunks(features, max(d, 1024) if n > d else n):
        factor = torch.cat([factor, part.double() - mean])
        if n > d:
            factor = torch.linalg.qr(factor, mode="r").R
    return Statistics(mean=mean, factor=factor / (n - ddof) ** 0.5, n=n)


def frechet_distance(a: Statistics, b: Statistics, tolerance: float = 1e-9) -> float:
    """Return the Fréchet distance between two Gaussians of the same dimension: ≥ 0, symmetric, 0 if they are equal.

    For many features, exact singular values take seconds: they are computed only where the relative error could exceed
    `tolerance` without them.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features of {len(a.mean)} and {len(b.mean)} dimensions have no distance.")
    product = a.factor @ b.factor.T
    apart = (a.mean - b.mean).square().sum() + a.factor.square().sum() + b.factor.square().sum()
    if min(product.shape) > _EXACT:
        norm, rounding = _nuclear_norm(smaller_gram(product))
        if 2 * rounding < tolerance * (apart - 2 * norm):
            return float(apart - 2 * norm)
    # A negative value is only rounding, of the order of ε (tr Σ₁ + tr Σ₂): clamping it hides nothing.
    return max(0.0, float(apart - 2 * torch.linalg.svdvals(product).sum()))


def jackknife_distance(features: Rows, reference: Statistics, blocks: Sequence[Tensor]) -> Jackknife:
    """Return standard error and bias of FD(features, reference) by sampling `features`, by the delete-block jackknife.

    `blocks` holds the row numbers of each block (`genbench.metrics.standard_errors.make_blocks`). The reference is held
    fixed: the bias of its own sample is not estimated. Where the distance does not exceed the bias of a finite sample,
    its error is of second order and this estimate gives only the order of magnitude. A bootstrap would be worse:
    resampling adds a bias of its own.
    """
    return jackknife(changes_without(features, reference, blocks))


def distance_variance(features: Rows, reference: Statistics, blocks: Sequence[Tensor]) -> VarianceParts | None:
    """Return the variance of FD(features, reference) from drawing the features, also where they hardly differ."""
    if len(blocks) < 2:
        return None
    deletions = Deletions(blocks)
    return deletions.variance(0.0, changes_without(features, reference, deletions.rows))


def changes_without(features: Rows, reference: Statistics, deleted: Sequence[Tensor], ddof: int = 1) -> Tensor:
    """Return by how much FD(features, reference) changes when each set of rows is deleted, (K,).

    `ddof` is that of the covariance of the features.
    """
    require_two_finite(features)
    return torch.stack(list(_changes(features, reference, deleted, ddof)))


def whiten(reference: Statistics) -> Callable[[Tensor], Tensor]:
    """Return the map of features (N, d) to (N, r) under which `reference` has mean 0 and covariance I.

    Directions in which the reference varies only by rounding are dropped: they have no scale. Raises ValueError where
    it varies in none.
    """
    transform = _whitening(reference)
    return lambda features: (features.double() - reference.mean) @ transform


def whitened(statistics: Statistics, reference: Statistics) -> Statistics:
    """Return the Gaussian of features after `whiten(reference)`; raise its ValueError."""
    transform = _whitening(reference)
    return Statistics((statistics.mean - reference.mean) @ transform, statistics.factor @ transform, statistics.n)


def smaller_gram(matrix: Tensor) -> Tensor:
    """Return the smaller of MᵀM and MMᵀ."""
    return matrix.T @ matrix if len(matrix) > matrix.shape[1] else matrix @ matrix.T


def _whitening(reference: Statistics) -> Tensor:
    _, scales, directions = torch.linalg.svd(reference.factor, full_matrices=False)
    magnitude = torch.maximum(scales.amax(), reference.mean.abs().amax()) if len(scales) else scales.sum()
    kept = scales > NULL_SPREAD * magnitude
    if not kept.any():
        raise ValueError("the reference features are all the same: there is no spread to scale distances by.")
    transform: Tensor = directions[kept].T / scales[kept]
    return transform


def _changes(features: Rows, reference: Statistics, deleted: Sequence[Tensor], ddof: int) -> Iterator[Tensor]:
    """Yield by how much the distance changes when each set of rows is deleted.

    tr (Σ Σ_ref)^½ = ‖C F_refᵀ‖₊ / √(n-ddof) for the centred features C: deleting rows of C deletes rows of this
    product, P. Its nuclear norm comes from the smaller Gram matrix: PᵀP, from which theirs is subtracted, or PPᵀ, from
    which rows and columns are selected. Both distances of a change are computed the same way, so that rounding errors
    cancel.
    """
    n, mean, projection = len(features), _mean(features), reference.factor.T
    wide = n <= projection.shape[1]

    def sums(chosen: Tensor, gram: Tensor, sign: int) -> tuple[Tensor, float]:
        """Return the sum and the sum of squares of these centred rows, and add their PᵀP to `gram`."""
        total, squares = torch.zeros_like(mean), 0.0
        for part in torch.split(chosen, _ROWS):
            rows = features[part].double() - mean
            total += rows.sum(0)
            squares += float(rows.square().sum())
            if not wide:
                projected = rows @ projection
                gram.addmm_(projected.T, projected, alpha=sign)
        return total, squares

    if wide:
        whole = smaller_gram((features[:].double() - mean) @ projection)
    else:
        whole = torch.zeros(projection.shape[1], projection.shape[1], dtype=torch.float64, device=mean.device)
    trace = sums(torch.arange(n), whole, +1)[1]
    distance = (mean - reference.mean).square().sum() + trace / (n - ddof) - 2 * _norm(whole) / (n - ddof) ** 0.5
    for chosen in deleted:
        rest, gram = n - len(chosen), whole.clone()
        total, squares = sums(chosen, gram, -1)
        shift = -total / rest  # of the mean when they are deleted
        rest_trace = trace - squares - rest * shift.square().sum()
        if wide:
            kept = rows_outside(chosen, n)
            gram = gram[kept][:, kept]
            gram = gram - gram.mean(0, keepdim=True) - gram.mean(1, keepdim=True) + gram.mean()
        else:
            total = total @ projection  # the remaining rows sum to minus this
            gram.addr_(total, total, alpha=-1 / rest)
        cross = _norm(gram) / (rest - ddof) ** 0.5
        yield (mean + shift - reference.mean).square().sum() + rest_trace / (rest - ddof) - 2 * cross - distance


def _mean(features: Rows) -> Tensor:
    parts = [part.double().sum(0) for part in chunks(features)]
    return torch.stack(parts).sum(0) / len(features)


def _nuclear_norm(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Return the nuclear norm of a matrix with this Gram matrix, and its approximate rounding error.

    Eigenvalues are several times as fast as singular values, but rounding moves each by ε times the largest one. The
    errors of their square roots differ in sign and add up like independent ones, except for eigenvalues that are only
    rounding, whose roots are all positive.
    """
    values = torch.linalg.eigvalsh(gram).clamp_min(0)
    rounding = torch.finfo(values.dtype).eps * values.max()
    known = values > 4 * rounding
    errors = rounding / (2 * values[known].sqrt())
    return values.sqrt().sum(), errors.square().sum().sqrt() + (~known).sum() * rounding.sqrt()


def _norm(gram: Tensor) -> Tensor:
    return _nuclear_norm(gram)[0] if len(gram) else gram.sum()
