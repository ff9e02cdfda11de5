"""The metric ``kd-<extractor>``, or `kid` with the Inception weights of 2015: the kernel distance between features.

The squared maximum mean discrepancy of m samples x and n training images y of d features, unbiased (Bińkowski et al.,
2018, arXiv:1801.01401, with Gretton et al., 2012, eq. 3):

    KD = Σ_{i≠j} k(xᵢ, xⱼ) / m(m-1) + Σ_{i≠j} k(yᵢ, yⱼ) / n(n-1) - 2/(mn) Σᵢⱼ k(xᵢ, yⱼ)        k(x, y) = (x·y/d + 1)³

All pairs are used; other implementations average over random subsets and report the spread of these overlapping subsets
as if it were a standard error. The estimate is unbiased at any number of images, so it may be negative where there is
no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.features.placement import computed_on
from genbench.metrics.feature_sets import comparable_features, earned_name, protocol_of
from genbench.metrics.standard_errors import Deletions, make_blocks

DEGREE = 3
_ROWS = 1024

Kernel: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # of features (m, d) and (n, d), for all pairs: (m, n)


def polynomial(x: Tensor, y: Tensor, degree: int = DEGREE) -> Tensor:
    """Return (x·y/d + 1)^degree."""
    return (x @ y.T).div_(x.shape[1]).add_(1).pow_(degree)


def gaussian(x: Tensor, y: Tensor, bandwidth: float) -> Tensor:
    """Return exp(-|x - y|² / 2 bandwidth²)."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square_().div_(-2 * bandwidth**2).exp_()


def measure(evaluation: Evaluation, extractor: str) -> Estimate | Unavailable:
    """Return the kernel distance of the samples from the training images, using all of both.

    The standard error covers the drawing of samples, by the delete-block jackknife, which leaves out pairs of blocks
    too: where there is hardly a difference, the distance consists of pairs of samples.
    """
    name = earned_name("kd", evaluation, extractor)
    try:
        samples, train = comparable_features(evaluation, extractor, "samples", "train")
    except ValueError as error:
        return Unavailable(name, str(error))
    blocks = make_blocks(len(samples), evaluation.generator(f"jackknife of {name}"))
    own = evaluation.of_data(
        f"{name}: pairs of training images", lambda: computed_on(evaluation.device, mean_of_pairs, train)
    )

    def distance(samples: Tensor, train: Tensor) -> tuple[float, float | None]:
        return kernel_distance(samples, train, blocks, own_pairs=own)

    value, standard_error = computed_on(evaluation.device, distance, samples, train)
    return Estimate(
        metric=name,
        value=value,
        standard_error=standard_error,
        n=len(samples),
        direction="lower",
        protocol=protocol_of(
            evaluation,
            extractor,
            kernel=f"(x·y/{samples.shape[1]} + 1)^{DEGREE}",
            estimator="unbiased, all pairs",
        ),
        null=0.0,
    )


def kernel_distance(
    x: Tensor, y: Tensor, blocks: Sequence[Tensor], kernel: Kernel = polynomial, own_pairs: float | None = None
) -> tuple[float, float | None]:
    """Return the unbiased kernel distance of features (m, d) and (n, d), and its standard error from drawing x.

    `blocks` partition the rows of x; each replicate takes the sums of the blocks that it keeps, exactly. There is no
    error without blocks, or where a block leaves a single row. `own_pairs` is `mean_of_pairs(y, kernel)` where it is
    known already. Raises ValueError where a set has fewer than two rows.
    """
    return distance_and_pairs(x, y, blocks, kernel, own_pairs)[:2]


def distance_and_pairs(
    x: Tensor, y: Tensor, blocks: Sequence[Tensor], kernel: Kernel, own_pairs: float | None = None
) -> tuple[float, float | None, float]:
    """Return what `kernel_distance` returns, and `mean_of_pairs(x, kernel)`."""
    m, n = len(x), len(y)
    if min(m, n) < 2:
        raise ValueError(f"pairs of different images need at least two in each set; there are {m} and {n}.")
    member = torch.zeros(
        m, max(1, len(blocks)), dtype=torch.float64
    )  # block membership; a single block where there are none
    for block, rows in enumerate(blocks or [torch.arange(m)]):
        member[rows, block] = 1
    member = member.to(x.device)
    within = _sums_of_pairs(x, member, kernel)
    across = torch.zeros(member.shape[1], dtype=torch.float64, device=x.device)
    for rows, belongs in zip(torch.split(x, _ROWS), torch.split(member, _ROWS), strict=True):
        for others in torch.split(y, _ROWS):
            across += kernel(rows, others).sum(1) @ belongs
    of_y = mean_of_pairs(y, kernel) if own_pairs is None else own_pairs

    def distance(own: Tensor, between: Tensor, left: Tensor | float) -> Tensor:
        return own / (left * (left - 1)) + of_y - 2 * between / (left * n)

    value, of_x = float(distance(within.sum(), across.sum(), m)), float(within.sum() / (m * (m - 1)))
    deletions, sizes = Deletions(blocks), member.sum(0)
    if len(blocks) < 2 or m - float(sizes.max()) < 2:
        return value, None, of_x
    kept = deletions.kept.to(x.device)
    own = ((kept @ within) * kept).sum(1)
    return value, deletions.standard_error(value, distance(own, kept @ across, kept @ sizes)), of_x


def mean_of_pairs(y: Tensor, kernel: Kernel = polynomial) -> float:
    """Return the mean of the kernel over all pairs of different rows of features (n, d), n ≥ 2."""
    n = len(y)
    everything = torch.ones(n, 1, dtype=torch.float64, device=y.device)
    return float(_sums_of_pairs(y, everything, kernel).sum() / (n * (n - 1)))


def _sums_of_pairs(x: Tensor, member: Tensor, kernel: Kernel) -> Tensor:
    """Return the sums of the kernel over pairs of different rows, grouped by the blocks of both: (B, B)."""
    sums = torch.zeros(member.shape[1], member.shape[1], dtype=torch.float64, device=x.device)
    strips = list(zip(torch.split(x, _ROWS), torch.split(member, _ROWS), strict=True))
    for first, (rows, belongs) in enumerate(strips):
        for second, (columns, others_belong) in enumerate(strips[first:], first):
            values = kernel(rows, columns)
            if second == first:
                values.fill_diagonal_(0)
            found = belongs.T @ values @ others_belong
            sums += found if second == first else found + found.T
    return sums
