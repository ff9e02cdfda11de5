"""The metric ``sw-<extractor>``: the sliced Wasserstein distance between features.

The mean over directions θ of the squared 2-Wasserstein distance between the projections θ·x of samples and training
images, which in one dimension is that between their quantile functions (Bonneel et al., Sliced and Radon Wasserstein
Barycenters of Measures, 2015, section 3), times 3d for d features:

    SW = 3d E_θ ∫₀¹ (Q_θx(t) - Q_θy(t))² dt

In features of Inception it is the Monge Inception Distance, MIND (Berthet et al., 2026, arXiv:2605.06797), but for the
directions. Unlike a Fréchet distance it does not assume that features are Gaussian. Directions are drawn as whole
orthonormal bases; over each, the mean of (θ·m)² is exactly |m|²/d, so a difference of means contributes 3|m|² without
noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.metrics.feature_sets import comparable_features, earned_name, protocol_of
from genbench.metrics.standard_errors import make_blocks, rows_outside, standard_error_from_replicates

DIRECTIONS = 512  # at least, and at least one basis
_AT_A_TIME = 64  # directions whose projections are sorted together
_SEED = 0  # the same directions in every cell


def measure(evaluation: Evaluation, extractor: str) -> Estimate | Unavailable:
    """Return the distance of the samples from the training images, using all of both.

    Like a Fréchet distance it is biased upwards by the finite number of images: compare values at equal n. The standard
    error covers the drawing of samples, by the delete-block jackknife; the directions are fixed.
    """
    name = earned_name("sw", evaluation, extractor)
    try:
        samples, train = comparable_features(evaluation, extractor, "samples", "train")
    except ValueError as error:
        return Unavailable(name, str(error))
    bases = orthonormal_directions(samples.shape[1], DIRECTIONS, torch.Generator().manual_seed(_SEED))
    blocks = make_blocks(len(samples), evaluation.generator(f"jackknife of {name}"))
    value, standard_error = sliced_wasserstein(samples, train, bases, blocks)
    factor = 3 * samples.shape[1]
    return Estimate(
        metric=name,
        value=value,
        standard_error=standard_error,
        n=len(samples),
        direction="lower",
        protocol=protocol_of(evaluation, extractor, directions=bases.shape[1], factor=factor),
    )


def orthonormal_directions(d: int, count: int, rng: torch.Generator) -> Tensor:
    """Return whole random orthonormal bases of d dimensions as columns, (d, k·d) with k·d ≥ `count`, float64."""
    bases = -(-count // d)
    return torch.cat(
        [torch.linalg.qr(torch.randn(d, d, generator=rng, dtype=torch.float64)).Q for _ in range(bases)], 1
    )


def sliced_wasserstein(
    x: Tensor, y: Tensor, directions: Tensor, blocks: Sequence[Tensor] = ()
) -> tuple[float, float | None]:
    """Return 3d times the sliced squared distance of features (m, d) and (n, d), and its standard error from drawing x.

    `directions` are unit vectors, (d, K). `blocks` partition the rows of x; there is no error without them. Raises
    ValueError where a set is empty.
    """
    if not len(x) or not len(y):
        raise ValueError("there are no features to compare.")
    total = torch.zeros(1 + len(blocks), dtype=torch.float64)
    kept = [rows_outside(block, len(x)) for block in blocks]
    for some in torch.split(directions, _AT_A_TIME, dim=1):
        projected, reference = x.double() @ some, (y.double() @ some).sort(0).values
        order = projected.argsort(0)
        ordered = projected.gather(0, order)
        total[0] += _squared_distances(ordered, reference).sum()
        for number, rest in enumerate(kept, start=1):
            left = ordered.T[rest[order].T].view(some.shape[1], -1).T  # still sorted
            total[number] += _squared_distances(left, reference).sum()
    distances = 3 * x.shape[1] * total / directions.shape[1]
    error = standard_error_from_replicates(distances[1:]) if len(blocks) > 1 else None
    return float(distances[0]), error


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return ∫ (Q_x - Q_y)² for each column of sorted values (m, K) and (n, K): exact for step functions."""
    if len(x) == len(y):
        return (x - y).square().mean(0)
    ends = torch.cat([torch.arange(1, len(one) + 1, dtype=torch.float64) / len(one) for one in (x, y)]).sort().values
    widths = ends.diff(prepend=ends.new_zeros(1))
    middle = ends - widths / 2
    steps = [(middle * len(one)).long().clamp(max=len(one) - 1) for one in (x, y)]
    return widths @ (x[steps[0]] - y[steps[1]]).square()
