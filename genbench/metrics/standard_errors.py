"""Standard errors of metrics: of a mean over images, and by the delete-block jackknife for all other statistics.

Each jackknife replicate is the statistic without one block of images (Efron and Tibshirani, An Introduction to the
Bootstrap, 1993, chapter 11). Twenty blocks give the error to about one part in six, which is accurate enough.

A distance of samples that are as good as the data is of second order: it consists of pairs of images, not of single
ones. There the jackknife's variance is twice too large. `Deletions` also leaves out pairs of blocks, which shows the
share of the pairs (Efron and Stein, The jackknife estimate of variance, 1981, section 5), and counts it once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from genbench.stats.student_t import beta_distribution

BLOCKS = 20
REACH = 2  # each block is left out together with as many that follow it
FEWEST_BLOCKS = 6  # for pairs of them
SMALLEST = 3  # images: what remains without a block must still have a spread


def mean_and_standard_error(values: Tensor) -> tuple[float, float | None]:
    """Return the mean of one number per image, (N,), and its standard error (None for a single image)."""
    error = float(values.std(correction=1)) / len(values) ** 0.5 if len(values) > 1 else None
    return float(values.mean()), error


def quantile_and_standard_error(values: Tensor, share: float) -> tuple[float, float | None]:
    """Return the quantile of values (N,) that `share` of them do not exceed, and its standard error.

    The quantile is a mean of the sorted values, weighted by how probable it is that each of them is the order statistic
    of rank (N+1) p in another draw: by the Beta distribution of (N+1) p and (N+1)(1-p) (Harrell and Davis, A new
    distribution-free quantile estimator, 1982). The error is the standard deviation of the values under these weights
    (Maritz and Jarrett, A note on estimating the variance of the sample median, 1978). It is None where order
    statistics two standard deviations of the quantile's rank, √(N p (1-p)), from it do not exist.
    """
    ordered, n = values.double().cpu().sort().values, len(values)
    weights = _weights_of_ranks(n, share)
    value = float(weights @ ordered)
    rank, half = max(1, math.ceil(share * n - 1e-9)), 2 * math.sqrt(n * share * (1 - share))
    known = round(rank - half) >= 1 and round(rank + half) <= n
    return value, math.sqrt(float(weights @ (ordered - value).square())) if known else None


@functools.lru_cache(16)
def _weights_of_ranks(n: int, share: float) -> Tensor:
    """Return the weight of each of n sorted values in the quantile, (n,): ranks beyond twelve deviations have none."""
    a, b = (n + 1) * share, (n + 1) * (1 - share)
    reach = 12 * math.sqrt(n * share * (1 - share)) + 2
    known = [beta_distribution(a, b, rank / n) if abs(rank - a) < reach else float(rank > a) for rank in range(n + 1)]
    return torch.tensor(known, dtype=torch.float64).diff()


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


class VarianceParts(NamedTuple):
    """The variance of a statistic: what single images contribute, and what pairs of them do."""

    singles: float  # below 0 by chance, where there is nothing
    pairs: float


def error_of_mean(parts: Sequence[VarianceParts]) -> float:
    """Return the standard error of the mean of independent statistics.

    Where single images seem to contribute less than nothing, there is nothing but pairs, whose variance is then known
    twice: as `pairs`, and as half of the jackknife's, `pairs` + `singles` / 2. The mean of the two is `pairs` +
    `singles` / 4, which is above 0 because the jackknife's is (ADR 0061).
    """
    singles, pairs = sum(one.singles for one in parts), sum(one.pairs for one in parts)
    return math.sqrt(max(0.0, pairs + max(singles, singles / 4))) / len(parts)


@dataclass(frozen=True)
class Deletions:
    """What is left out in turn: each block of images, and pairs of blocks."""

    blocks: Sequence[Tensor]  # row numbers, as of `make_blocks`

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Which blocks are left out together: each with those that follow it in a circle. None if there are few."""
        count = len(self.blocks)
        if count < FEWEST_BLOCKS:
            return []
        return [(one, (one + step) % count) for step in range(1, REACH + 1) for one in range(count)]

    @property
    def rows(self) -> list[Tensor]:
        """The row numbers that each replicate leaves out: of all blocks, then of all pairs."""
        return [*self.blocks, *(torch.cat([self.blocks[one], self.blocks[two]]) for one, two in self.pairs)]

    @property
    def kept(self) -> Tensor:
        """Which blocks each replicate keeps, as 0 and 1, (replicates, blocks)."""
        count = len(self.blocks)
        one, two = torch.tensor(self.pairs, dtype=torch.int64).reshape(-1, 2).T
        unit = torch.eye(count, dtype=torch.float64)
        return 1 - torch.cat([unit, unit[one] + unit[two]])

    def standard_error(self, value: float, replicates: Tensor) -> float | None:
        """Return the standard error of a statistic from drawing the images; the arguments are those of `variance`."""
        found = self.variance(value, replicates)
        return None if found is None else error_of_mean([found])

    def variance(self, value: float, replicates: Tensor) -> VarianceParts | None:
        """Return the variance of a statistic from drawing the images; None without two blocks.

        With K blocks as the units, θ = μ + Σ Aₖ/K + Σ Bₖₗ/K² over pairs k < l, has the variance

            σ²_A/K + σ²_B (K-1)/2K³        jackknife: σ²_A/K + σ²_B (K-2)/K(K-1)²

        σ²_B is the mean square of Kθ - (K-1)(θₖ + θₗ) + (K-2)θₖₗ over pairs, in which all Aₖ cancel, divided by its
        expectation for σ²_B = 1. With fewer than six blocks, the jackknife's variance counts as that of single images.

        Args:
            value: the statistic of all images; 0 if the replicates are changes from it.
            replicates: the statistic without each of `rows`.
        """
        count, pairs = len(self.blocks), self.pairs
        if count < 2:
            return None
        replicates = replicates.double().cpu()
        without, without_pairs = replicates[:count], replicates[count:]
        total = standard_error_from_replicates(without) ** 2
        if not pairs:
            return VarianceParts(total, 0.0)
        sizes = torch.tensor([len(rows) for rows in self.blocks], dtype=torch.float64)
        n, left = sizes.sum(), sizes.sum() - sizes  # the weights of blocks of unequal size differ slightly
        one, two = torch.tensor(pairs).T
        singles = left[one] * without[one] + left[two] * without[two]
        second = n * value - singles + (n - sizes[one] - sizes[two]) * without_pairs
        of_pairs = float((second * count / n).square().mean()) / _expected_square(count)
        return VarianceParts(
            singles=total - of_pairs * (count - 2) / (count * (count - 1) ** 2),
            pairs=of_pairs * (count - 1) / (2 * count**3),
        )


def _expected_square(k: int) -> float:
    """Return the mean square of Kθ - (K-1)(θₖ + θₗ) + (K-2)θₖₗ for σ²_B = 1.

    It contains Bₖₗ with the weight 1/K, the 2(K-2) pairs of either block with others with -1/K(K-1), and the
    (K-2)(K-3)/2 pairs of two others with 2/K(K-1)(K-2).
    """
    return (1 + 2 * (k - 2) / (k - 1) ** 2 + 2 * (k - 3) / ((k - 1) ** 2 * (k - 2))) / k**2
