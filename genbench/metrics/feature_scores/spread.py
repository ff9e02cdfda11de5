"""The metrics `feature-variance-…` and `effective-rank-…`: how far, and in how many directions, features spread.

With the covariances Σ of the samples' features and Σᵣ of the training images':

    feature variance = tr Σ / tr Σᵣ        effective rank = erank Σ / erank Σᵣ        erank Σ = exp(-Σ pᵢ ln pᵢ)

where pᵢ are the eigenvalues of Σ divided by their sum (Roy and Vetterli, The effective rank, 2007, section 2). The
first is 1 for the variance of the data, whatever directions it lies in; the second 1 where the samples vary in as many
directions as the data, however little. Neither compares the directions themselves: a Fréchet distance does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.features.placement import computed_on
from genbench.metrics.feature_scores.vendi import vendi_score
from genbench.metrics.feature_sets import SUBSET_SEED, comparable_features, earned_name, protocol_of, random_subset
from genbench.metrics.standard_errors import SMALLEST, make_blocks, rows_outside, standard_error_from_replicates


class Spread(NamedTuple):
    """Total variance and effective rank of a covariance."""

    variance: float
    rank: float


def measure(evaluation: Evaluation, extractor: str) -> list[Estimate | Unavailable]:
    """Return both ratios, of features that are not whitened.

    An effective rank grows with the number of images, so it is that of as many training images, the same ones each
    time, that the samples' is divided by; where there are fewer, that of as many samples. The standard errors cover the
    drawing of samples, by the delete-block jackknife, for given training images.
    """
    name = earned_name("spread", evaluation, extractor)
    try:
        samples, train = comparable_features(
            evaluation, extractor, "samples", "train", at_least=SMALLEST, whitened=False
        )
    except ValueError as error:
        return [Unavailable(name, str(error))]
    n = min(len(samples), len(train))
    subset = {} if len(samples) == len(train) else {"subset": f"{n} images of either set, with seed {SUBSET_SEED}"}
    device = evaluation.device

    def of_training_images() -> tuple[Spread, Spread]:
        return (
            computed_on(device, lambda x: spread(x)[0], train),
            computed_on(device, lambda x: spread(x)[0], random_subset(train, n)),
        )

    whole, same_number = evaluation.of_data(f"{name} of {n}", of_training_images)
    if whole.variance == 0 or same_number.rank == 0:
        return [Unavailable(name, "the training images all have the same features.")]

    def estimate(which: str, value: float, error: float | None, n: int, **more: str | int) -> Estimate:
        protocol = protocol_of(evaluation, extractor, ddof=1, whitened=False, **more)
        metric = name.replace("spread", which, 1)
        return Estimate(metric, value, error, n, "higher", protocol, null=1.0)

    def errors(features: Tensor) -> tuple[Spread, Spread | None]:
        blocks = make_blocks(len(features), evaluation.generator(f"jackknife of {name}"))
        found: tuple[Spread, Spread | None] = computed_on(device, lambda x: spread(x, blocks), features)
        return found

    found, of_variance = errors(samples)
    ranked, rank_error = (found, of_variance) if n == len(samples) else errors(random_subset(samples, n))
    variance_error = None if of_variance is None else of_variance.variance / whole.variance
    return [
        estimate("feature-variance", found.variance / whole.variance, variance_error, len(samples)),
        estimate(
            "effective-rank",
            ranked.rank / same_number.rank,
            None if rank_error is None else rank_error.rank / same_number.rank,
            n,
            **subset,
        ),
    ]


def spread(features: Tensor, blocks: Sequence[Tensor] = ()) -> tuple[Spread, Spread | None]:
    """Return total variance and effective rank of features (n, d), n ≥ 2, and their jackknife errors over `blocks`.

    The effective rank is 0 where the features do not vary.
    """
    n, d = features.shape
    centred = features - features.mean(0)
    gram = centred.T @ centred if d <= n else centred @ centred.T

    def without(block: Tensor) -> Spread:
        rest = n - len(block)
        if d <= n:
            rows = centred[block]
            total = rows.sum(0)
            left = gram - rows.T @ rows
            return _of(left.addr_(total, total, alpha=-1 / rest), rest)
        kept = rows_outside(block, n).to(gram.device)
        left = gram[kept][:, kept]
        return _of(left - left.mean(0, keepdim=True) - left.mean(1, keepdim=True) + left.mean(), rest)

    whole = _of(gram, n)
    if len(blocks) < 2:
        return whole, None
    replicates = torch.tensor([without(block) for block in blocks], dtype=torch.float64)
    return whole, Spread(*(standard_error_from_replicates(column) for column in replicates.T))


def _of(scatter: Tensor, n: int) -> Spread:
    """Return the spread of n images from their scatter matrix, or from that of their inner products."""
    total = float(scatter.trace())
    if total <= 0:
        return Spread(0.0, 0.0)
    return Spread(total / (n - 1), vendi_score(torch.linalg.eigvalsh(scatter) / total, 1))
