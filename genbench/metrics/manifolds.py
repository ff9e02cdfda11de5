"""Precision, recall, density and coverage: the overlap of balls around two sets of images.

Each image is the centre of a ball that reaches to its k-th nearest other image of the same set. With N real images x,
M samples y, and open balls B:

    precision = share of samples that lie in some B(xᵢ)           (Kynkäänniemi et al., 2019, arXiv:1904.06991)
    recall    = share of real images that lie in some B(yⱼ)
    density   = 1/(kM) Σⱼ Σᵢ 1[yⱼ in B(xᵢ)]                       (Naeem et al., 2020, arXiv:2002.09797, eq. 4)
    coverage  = share of real images whose ball contains a sample (eq. 5)

These are the conventions of Naeem et al.'s package: k = 5, an image is not its own neighbour, distances strictly below
the radius. For two sets from one distribution the expected density is 1, and the expected coverage
1 - ∏ᵢ₌₁ᵏ (N-i)/(M+N-i) (their appendix); precision and recall have no such value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from genbench.metrics.neighbours import centred, exact_squared_distances, nearer_than, nearest_others, row_numbers, tile
from genbench.metrics.standard_errors import mean_and_standard_error, standard_error_from_replicates

K = 5

_KNOWN = 3  # times k nearest others are searched: enough to contain the k-th outside any one block


class Score(NamedTuple):
    """A number and its standard error, if known."""

    value: float
    standard_error: float | None


class Overlap(NamedTuple):
    """The four numbers."""

    precision: Score
    recall: Score
    density: Score
    coverage: Score


def overlap(
    real: Tensor, samples: Tensor, blocks: Sequence[Tensor], k: int = K, real_radii: Tensor | None = None
) -> Overlap:
    """Return the overlap of features (N, d) of real images and (M, d) of samples; `real_radii` are `radii(real, k)`.

    The standard errors cover the drawing of samples. Given the real images, precision and density are means of one
    number per sample. Recall and coverage are not: their errors come from the jackknife over `blocks`, row numbers of
    samples, where the balls of the remaining samples grow as those of a smaller set do. This needs no second pass: for
    each real image we keep the number of matching samples in each block. For such shares the jackknife error is too
    large (Efron and Stein, 1981), by about a half in simulations. Raises ValueError if a set has k images or fewer.
    """
    n, m = len(real), len(samples)
    if min(n, m) <= k:
        raise ValueError(
            f"the {k} nearest others need at least {k + 1} images; there are {n} real images and {m} samples."
        )
    block_of = torch.zeros(m, dtype=torch.int64)
    for number, rows in enumerate(blocks):
        block_of[rows] = number
    device = samples.device
    block_of = block_of.to(device)
    member = F.one_hot(block_of, max(1, len(blocks))).float()  # (M, blocks)
    if real_radii is None:
        real_radii = radii(real, k)
    squared, others = nearest_others(samples, min(_KNOWN * k, m - 1))
    sample_radii = _radii(samples, others, k)
    grown_radii = _radii_without(squared, block_of[others], member.shape[1], k)  # (M, blocks)
    widest = grown_radii.amax(1)

    covering = torch.zeros(m, device=device)  # number of real balls that contain each sample
    held = torch.zeros(n, member.shape[1], device=device)  # samples of each block that each real ball contains
    holding = torch.zeros(n, member.shape[1], device=device)  # balls of samples of each block that contain a real image
    grown = torch.zeros(n, member.shape[1], device=device)  # balls that contain it only after a block is deleted
    centre = real.mean(0)
    for columns in row_numbers(samples):
        b = centred(samples, columns, centre)
        for rows in row_numbers(real):
            found = tile(centred(real, rows, centre), b)
            inside = nearer_than(found, real_radii[rows], real, rows, samples, columns, of_rows=True).float()
            covering[columns] += inside.sum(0)
            held[rows] += inside @ member[columns]
            inside = nearer_than(found, sample_radii[columns], real, rows, samples, columns, of_rows=False)
            holding[rows] += inside.float() @ member[columns]
            at, of = (found.squared < widest[columns]).logical_and_(inside.logical_not_()).nonzero(as_tuple=True)
            reached = found.squared[at, of][:, None] < grown_radii[columns[of]]
            reached &= member[columns[of]] == 0  # a ball is deleted together with its own block
            grown.index_add_(0, rows[at], reached.float())

    def without_each_block(counts: Tensor) -> Tensor:
        return counts.sum(1, keepdim=True) - counts

    enough = len(blocks) > 1 and bool(grown_radii.isfinite().all())
    return Overlap(
        precision=Score(*mean_and_standard_error((covering > 0).double())),
        recall=_share(holding, without_each_block(holding) + grown if enough else None),
        density=Score(*mean_and_standard_error(covering.double() / k)),
        coverage=_share(held, without_each_block(held) if enough else None),
    )


def expected_coverage(n: int, m: int, k: int = K) -> float:
    """Return the mean coverage of n real images by m samples of the same distribution."""
    return 1 - math.prod((n - i) / (m + n - i) for i in range(1, k + 1))


def radii(features: Tensor, k: int = K) -> Tensor:
    """Return the exact squared radii of the balls around features (N, d), N > k: (N,) float64."""
    return _radii(features, nearest_others(features, k)[1], k)


def _radii(features: Tensor, others: Tensor, k: int) -> Tensor:
    own = torch.arange(len(features), device=features.device)
    return exact_squared_distances(features, own, features, others[:, k - 1])


def _radii_without(squared: Tensor, blocks: Tensor, count: int, k: int) -> Tensor:
    """Return the squared radii that grow when each of `count` blocks is deleted: (N, count) float32; 0 for others.

    Infinite if fewer than k others remain. `squared` and `blocks`, (N, L), are the squared distances and blocks of
    the L nearest others. Where these L are not enough although there are more images, the last one is used as the k-th:
    blocks are random, so this happens for one image in a billion.
    """
    radii = []
    for block in range(count):
        outside = (blocks != block).cumsum(1)
        kth = (outside == k).int().argmax(1)
        radius = squared.gather(1, kth[:, None]).squeeze(1)
        beyond = squared[:, -1] if squared.shape[1] >= _KNOWN * k else torch.full_like(radius, torch.inf)
        radii.append(torch.where(outside[:, -1] >= k, radius, beyond))
    grown = torch.stack(radii, 1)
    return torch.where(grown > squared[:, k - 1 : k], grown, 0)


def _share(counts: Tensor, replicates: Tensor | None) -> Score:
    value = float((counts.sum(1) > 0).double().mean())
    if replicates is None:
        return Score(value, None)
    return Score(value, standard_error_from_replicates((replicates > 0).double().mean(0)))
