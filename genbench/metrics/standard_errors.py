"""Standard errors of metrics: of a mean over images, and by the delete-block jackknife for all other statistics.

Each jackknife replicate is the statistic without one block of images (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, chapter 11). Twenty blocks give the error to about one part in six, which is accurate enough.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCKS = 20
SMALLEST = 3  # images: what remains without a block must still have a spread


def mean_and_standard_error(values: Tensor) -> tuple[float, float | None]:
    """Return the mean of one number per image, (N,), and its standard error (None for a single image)."""
    error = float(values.std(correction=1)) / len(values) ** 0.5 if len(values) > 1 else None
    return float(values.mean()), error


def quantile_and_standard_error(values: Tensor, share: float) -> tuple[float, float | None]:
    """Return the quantile of values (N,), the smallest that `share` of them do not exceed, and its standard error.

    The error is a quarter of the distance between the order statistics at two standard deviations of the quantile's
    rank, √(N p (1-p)) each (Woodruff, Confidence intervals for medians, 1952). It is None where these ranks do not
    exist.
    """
    ordered, n = values.double().sort().values, len(values)
    rank = max(1, math.ceil(share * n - 1e-9))
    half = 2 * math.sqrt(n * share * (1 - share))
    low, high = round(rank - half), round(rank + half)
    error = float(ordered[high - 1] - ordered[low - 1]) / 4 if low >= 1 and high <= n else None
    return float(ordered[rank - 1]), error


@dataclass(frozen=True)
class Jackknife:
    """Standard error and bias of a statistic, estimated from its replicates."""

    standard_error: float
    bias: float  # of order 1/n; subtracting it (K θ - (K-1) θ̄) leaves a bias of order 1/n²


def make_blocks(n: int, rng: torch.Generator, blocks: int = BLOCKS) -> list[Tensor]:
    """Return the row numbers of at most `blocks` blocks of equal size (to within one), which together are 0 … n - 1.

    The rows are shuffled: if images are sorted by class, consecutive blocks would differ by more than chance. There are
    no blocks, and so no standard error, for fewer than three images.
    """
    if n < SMALLEST:
        return []
    return list(torch.randperm(n, generator=rng).tensor_split(min(blocks, n)))


def rows_outside(block: Tensor, n: int) -> Tensor:
    """Return the mask, bool (n,), of the rows that remain when a block of row numbers is deleted."""
    remaining = torch.ones(n, dtype=torch.bool)
    remaining[block] = False
    return remaining


def standard_error_from_replicates(replicates: Tensor) -> float:
    """Return the jackknife standard error √((K-1)/K Σ (θₖ - θ̄)²) from the K ≥ 2 delete-block replicates θₖ, (K,)."""
    blocks = len(replicates)
    deviations = replicates.double() - replicates.double().mean()
    return float((deviations.square().sum() * (blocks - 1) / blocks).sqrt())


def jackknife(changes: Tensor) -> Jackknife:
    """Return standard error and bias from the changes θₖ - θ, (K,), that result from deleting each block."""
    return Jackknife(
        standard_error=standard_error_from_replicates(changes),
        bias=(len(changes) - 1) * float(changes.double().mean()),
    )
