"""The metric ``mmd-<extractor>``, or `cmmd` with CLIP's ViT-L/14 at 336 pixels: a distance with a Gaussian kernel.

The squared maximum mean discrepancy between m samples x and n training images y, whose features are scaled to length 1,
times 1,000 (Jayasumana et al., 2024, arXiv:2401.09603, section 4; Gretton et al., 2012, eq. 5):

    MMD = 1000 (1/m² Σᵢⱼ k(xᵢ, xⱼ) + 1/n² Σᵢⱼ k(yᵢ, yⱼ) - 2/(mn) Σᵢⱼ k(xᵢ, yⱼ))        k(x, y) = exp(-|x - y|² / 2σ²)

with σ = 10. This is what the authors publish. The sums include the pairs of an image with itself, so the value is
biased upwards, by 1000 (1 - k̄ₓ)/m + 1000 (1 - k̄ᵧ)/n for the means k̄ over pairs of different images. Without these
pairs it is unbiased: the estimate's `debiased` value. At this σ the kernel of unit vectors is almost linear: k is
between 0.98 and 1, and MMD is close to 10 |x̄ - ȳ|², the distance of the mean features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.features.placement import computed_on
from genbench.metrics.feature_sets import comparable_features, earned_name, protocol_of, unit_length
from genbench.metrics.kernel_distance import distance_and_pairs, mean_of_pairs
from genbench.metrics.standard_errors import make_blocks

BANDWIDTH = 10.0  # σ
SCALE = 1000.0


class Discrepancy(NamedTuple):
    """The two estimators of the same distance."""

    biased: float  # with the pairs of an image with itself, as published
    unbiased: float
    standard_error: float | None  # of the unbiased one; that of the biased one differs by a factor of 1 + 1/m
    null: float  # expected biased value if both sets are from the distribution of y


def measure(evaluation: Evaluation, extractor: str) -> Estimate | Unavailable:
    """Return the distance of the samples from the training images, using all of both.

    The standard error covers the drawing of samples, as that of `genbench.metrics.kernel_distance`.
    """
    name = earned_name("mmd", evaluation, extractor)
    try:
        samples, train = map(unit_length, comparable_features(evaluation, extractor, "samples", "train"))
    except ValueError as error:
        return Unavailable(name, str(error))
    blocks = make_blocks(len(samples), evaluation.generator(f"jackknife of {name}"))
    own = evaluation.of_data(
        f"{name}: pairs of training images",
        lambda: computed_on(evaluation.device, lambda y: mean_of_pairs(y, kernel_of_unit_vectors), train),
    )
    found: Discrepancy = computed_on(evaluation.device, lambda x, y: discrepancy(x, y, blocks, own), samples, train)
    return Estimate(
        metric=name,
        value=found.biased,
        standard_error=found.standard_error,
        n=len(samples),
        direction="lower",
        protocol=protocol_of(
            evaluation,
            extractor,
            kernel=f"Gaussian, sigma {BANDWIDTH:g}, of features of length 1",
            factor=SCALE,
            estimator="biased, all pairs",
        ),
        debiased=found.unbiased,
        null=found.null,
    )


def discrepancy(x: Tensor, y: Tensor, blocks: Sequence[Tensor] = (), own_pairs: float | None = None) -> Discrepancy:
    """Return 1,000 times the distance of unit vectors (m, d) from unit vectors (n, d), by both estimators.

    `blocks` partition the rows of x for the error; `own_pairs` is the mean of the kernel over pairs of different rows
    of y, where it is known. Raises ValueError where a set has fewer than two rows.
    """
    of_y = mean_of_pairs(y, kernel_of_unit_vectors) if own_pairs is None and len(y) > 1 else own_pairs
    unbiased, error, of_x = distance_and_pairs(x, y, blocks, kernel_of_unit_vectors, of_y)
    assert of_y is not None
    m, n = len(x), len(y)
    return Discrepancy(
        biased=SCALE * (unbiased + (1 - of_x) / m + (1 - of_y) / n),
        unbiased=SCALE * unbiased,
        standard_error=None if error is None else SCALE * error,
        null=SCALE * (1 - of_y) * (1 / m + 1 / n),
    )


def kernel_of_unit_vectors(x: Tensor, y: Tensor) -> Tensor:
    """Return exp(-|x - y|² / 2σ²) for all pairs of unit vectors (m, d) and (n, d): (m, n)."""
    return (x @ y.T).sub_(1).div_(BANDWIDTH**2).exp_()
