"""The metric ``fd-infinity-<extractor>``, or `fid-infinity`: the Fréchet distance for infinitely many samples.

A Fréchet distance from N samples is biased upwards by about b/N, so a line through distances from several N, against
1/N, meets the axis at the distance for N → ∞ (Chong and Forsyth, 2020, arXiv:1911.07023). They take one random subset
of each of 15 sizes. Here the samples are divided at random into 1, 2, 3 and 4 parts of equal size, and the distance for
each size is the mean over its parts:

    FD(N/k) = FD∞ + (b/N) k        least squares over k = 1 … 4        (ten distances)

Every sample counts equally at every size. So, to first order in 1/N, the error of FD∞ is that of the distance of all N,
which is the mean of one number per sample; unequal subsets would add the variance of the choice. What pairs of samples
add to the variance is 1.5 times as large: the line weighs the four sizes by 1, 1/2, 0 and -1/2, so pairs within a
quarter cancel, those within a half count twice, and the others once: 0/4 + 4/4 + 1/2. The jackknife counts them twice,
so that the error is up to 15 % too large; without this, intervals are too short (ADR 0048).

Only the number of samples is extrapolated. The training images are a finite sample too, of whose bias the null
consists.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Rows, Statistics, Unavailable
from genbench.features.placement import computed_on
from genbench.metrics.feature_sets import comparable_features, earned_name, protocol_of
from genbench.metrics.frechet import frechet_distance, jackknife_distance, statistics
from genbench.metrics.frechet_null import null_distance
from genbench.metrics.standard_errors import make_blocks

PARTS = (1, 2, 3, 4)
_SEED = 0  # of the division, the same in every cell
_UNLIMITED = 10**9  # images: an infinite sample, for the null


def measure(evaluation: Evaluation, extractor: str) -> Estimate | Unavailable:
    """Return the extrapolated distance; it needs more samples than features in the smallest part.

    With fewer, a distance is not linear in 1/N. The estimate may be negative for a model that is as good as the data.
    """
    name = earned_name("fd-infinity", evaluation, extractor)
    try:
        samples, train = comparable_features(evaluation, extractor, "samples", "train")
    except ValueError as error:
        return Unavailable(name, str(error))
    n, d = samples.shape
    if n <= PARTS[-1] * d:
        reason = (
            f"it needs more than {PARTS[-1]} × {d} samples, so that a quarter of them are more than the {d} features; "
            f"there are {n}. Below that the distance is not linear in 1/N."
        )
        return Unavailable(name, reason)
    reference = evaluation.of_data(f"{name}: reference", lambda: statistics(train))
    blocks = make_blocks(n, evaluation.generator(f"jackknife of {name}"))

    def extrapolated(samples: Tensor, mean: Tensor, factor: Tensor) -> tuple[float, float | None]:
        return infinite_distance(samples, Statistics(mean, factor, reference.n), blocks)

    value, standard_error = computed_on(evaluation.device, extrapolated, samples, reference.mean, reference.factor)
    whitens = evaluation.extractor(extractor).whiten
    return Estimate(
        metric=name,
        value=value,
        standard_error=standard_error,
        n=n,
        direction="lower",
        protocol=protocol_of(evaluation, extractor, ddof=1, sizes="N, N/2, N/3, N/4", fit="linear in 1/N"),
        null=null_distance(reference, _UNLIMITED, whitened=whitens),
    )


def infinite_distance(
    features: Rows, reference: Statistics, blocks: Sequence[Tensor] = (), seed: int = _SEED
) -> tuple[float, float | None]:
    """Return the distance of features (N, d) from `reference` for N → ∞, and its standard error from drawing them.

    `blocks` partition the rows for the jackknife; there is no error without them.
    """
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))
    means = [
        sum(frechet_distance(statistics(features[rows.sort().values]), reference) for rows in order.tensor_split(k)) / k
        for k in PARTS
    ]
    error = jackknife_distance(features, reference, blocks).standard_error if blocks else None
    return intercept(PARTS, means), error


def intercept(x: Sequence[float], y: Sequence[float]) -> float:
    """Return the value at 0 of the least-squares line through (x, y)."""
    points = torch.tensor([x, y], dtype=torch.float64)
    mean_x, mean_y = points.mean(1)
    slope = ((points[0] - mean_x) * (points[1] - mean_y)).sum() / (points[0] - mean_x).square().sum()
    return float(mean_y - slope * mean_x)
