"""The metrics `authenticity-…`, `copying-ct-…` and `nearest-ratio-…`: do samples lie too close to training images?

All three rest on the distance of an image to its nearest training image, and two of them compare the samples' with
those of held-out images, which cannot have been copied. None of them is fit for a gate: on complex images they miss
copies that a viewer sees at once, so `closest_pairs` returns the pairs to inspect (Stein et al., 2023,
arXiv:2306.04675, section 6).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.metrics.feature_sets import comparable_features, earned_name, protocol_of
from genbench.metrics.neighbours import nearest
from genbench.metrics.standard_errors import mean_and_standard_error

HELD_OUT = 20  # images at least: with fewer, the normal approximation of a rank sum is poor


def measure(evaluation: Evaluation, extractor: str) -> list[Estimate | Unavailable]:
    """Return the three estimates from all samples, held-out and training images.

    The errors cover the drawing of samples. The `null` of authenticity is the held-out images' value.
    """
    name = earned_name("memorisation", evaluation, extractor)
    try:
        samples, train, test = comparable_features(evaluation, extractor, "samples", "train", "test")
        if len(test) < HELD_OUT:
            raise ValueError(f"it needs at least {HELD_OUT} held-out images; there are {len(test)}.")
    except ValueError as error:
        return [Unavailable(name, str(error))]
    of_samples, of_test = (nearest(images, train) for images in (samples, test))
    near, held_out = of_samples.distances.squeeze(1), of_test.distances.squeeze(1)

    def estimate(which: str, number: tuple[float, float | None], null: float, **more: str | int) -> Estimate:
        return Estimate(
            metric=name.replace("memorisation", which, 1),
            value=number[0],
            standard_error=number[1],
            n=len(samples),
            direction="higher",
            protocol=protocol_of(evaluation, extractor, n_held_out=len(test), **more),
            null=null,
        )

    chance = authenticity(held_out, of_test.indices.squeeze(1), train)[0]
    found: list[Estimate | Unavailable] = [
        estimate("authenticity", authenticity(near, of_samples.indices.squeeze(1), train), chance),
        estimate("copying-ct", copying(near, held_out), 0.0, statistic="Mann-Whitney z", cells=1),
    ]
    if float(held_out.quantile(0.5)) > 0:
        found.append(estimate("nearest-ratio", nearest_ratio(near, held_out), 1.0, statistic="ratio of medians"))
    else:
        reason = "half of the held-out images also occur in the training images: their distance is 0."
        found.append(Unavailable(name.replace("memorisation", "nearest-ratio", 1), reason))
    return found


def authenticity(distances: Tensor, indices: Tensor, train: Tensor) -> tuple[float, float | None]:
    """Return the share of images farther from their nearest training image than that is from the other training images.

    `distances` and `indices`, (N,), locate each image's nearest training image (Alaa et al., 2022,
    arXiv:2102.08921, section 4.3). Copies score 0; images from the data's own distribution score well below 1, since
    neighbours are often each other's nearest: see the estimate's `null`.
    """
    neighbours, back = torch.unique(indices, return_inverse=True)
    own = nearest(train[neighbours], train, excluding=neighbours).distances.squeeze(1)
    return mean_and_standard_error((distances > own[back]).double())


def copying(samples: Tensor, held_out: Tensor) -> tuple[float, float | None]:
    """Return C_T of distances to the nearest training image, (m,) and (n,): the z-score of their rank sum.

    U counts the pairs in which the sample is farther than the held-out image, with ties as a half. It is standardised
    by its mean and deviation under equal distributions, corrected for ties (Mann and Whitney, 1947; Meehan et al.,
    2020, arXiv:2004.05675, section 3). Below -3, samples lie closer than chance allows: copies. Above 3 they lie
    farther: the model underfits. As a test statistic, with two-sided p = erfc(|z|/√2), it grows with the number of
    images. The paper averages over cells of a k-means partition; here there is a single cell, without such choices.
    """
    m, n = len(samples), len(held_out)
    ordered = held_out.sort().values
    below = torch.searchsorted(ordered, samples, side="left")
    up_to = torch.searchsorted(ordered, samples, side="right")
    placements = (below + up_to).double() / 2  # for each sample, the number of held-out images that are closer
    ties = torch.unique(torch.cat([samples, held_out]), return_counts=True)[1].double()
    total = m + n
    variance = m * n / 12 * (total + 1 - float((ties**3 - ties).sum()) / (total * (total - 1)))
    if variance <= 0:  # all distances are the same
        return 0.0, None
    mean, error = mean_and_standard_error(placements)
    scale = m / math.sqrt(variance)
    return (mean - n / 2) * scale, None if error is None else error * scale


def nearest_ratio(samples: Tensor, held_out: Tensor) -> tuple[float, float | None]:
    """Return the median of the samples' distances over that of the held-out images': 1 if they are equal, 0 for copies.

    The standard error is a quarter of the distance between the order statistics at two standard deviations of the
    median's rank, √n/2 each (Woodruff, 1952).
    """
    scale = float(held_out.quantile(0.5))
    ordered, n = samples.sort().values, len(samples)
    low, high = round(n / 2 - math.sqrt(n)), round(n / 2 + math.sqrt(n))
    error = float(ordered[high] - ordered[low]) / 4 / scale if low >= 0 and high < n else None
    return float(ordered.quantile(0.5)) / scale, error


def closest_pairs(evaluation: Evaluation, extractor: str, count: int) -> tuple[Tensor, Tensor]:
    """Return the samples closest to a training image, and these training images, as row numbers, closest first.

    Raises ValueError where there is nothing to compare.
    """
    samples, train = comparable_features(evaluation, extractor, "samples", "train")
    found = nearest(samples, train)
    first = found.distances.squeeze(1).argsort(stable=True)[:count]
    return first, found.indices[first, 0]
