"""The metric `ms-ssim`: the similarity of two random samples, relative to that of two training images.

The mean multi-scale similarity of random pairs of samples (Odena et al., 2017, arXiv:1610.09585, section 4.2). A
generator that repeats itself scores higher than the data. It does not measure quality: noise scores lowest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.metrics.standard_errors import mean_and_standard_error
from genbench.metrics.structural_similarity import SIGMA, WEIGHTS, WINDOW, ms_ssim, scale_weights

NAME = "ms-ssim"
PAIRS = 1_000  # at most


def measure(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the mean similarity of random disjoint pairs of samples, so that its error is that of a mean.

    `null` is the same for pairs of training images, always the same pairs. Images too small for five scales use as many
    as fit, with rescaled weights; the protocol states how many.
    """
    samples, train = (torch.as_tensor(images.pixels) for images in (evaluation.samples, evaluation.train))
    weights = scale_weights(*samples.shape[-2:])
    if not weights:
        size = "×".join(map(str, samples.shape[-2:]))
        return Unavailable(NAME, f"images of {size} pixels are smaller than the window of {WINDOW}.")
    if len(samples) < 2:
        return Unavailable(NAME, "a pair needs at least two samples.")
    found = similarity_of_pairs(samples, weights, evaluation.generator("pairs of ms-ssim"))
    value, standard_error = mean_and_standard_error(found)
    null = None
    if len(train) > 1:
        null = float(similarity_of_pairs(train, weights, torch.Generator().manual_seed(0)).mean())
    return Estimate(
        metric=NAME,
        value=value,
        standard_error=standard_error,
        n=2 * len(found),
        direction="lower",
        protocol={
            "pairs": "random, disjoint",
            "data_range": 1.0,
            "window": WINDOW,
            "sigma": SIGMA,
            "scales": len(weights),
            "weights": f"the first {len(weights)} of {WEIGHTS}, made to sum to 1",
            "negative": "0",
        },
        null=null,
    )


def similarity_of_pairs(pixels: Tensor, weights: tuple[float, ...], rng: torch.Generator, most: int = PAIRS) -> Tensor:
    """Return the similarity of random disjoint pairs, at most `most`, of uint8 images (N, channels, height, width)."""
    pairs = min(most, len(pixels) // 2)
    order = torch.randperm(len(pixels), generator=rng)
    first, second = (pixels[order[part]].float() / 255 for part in (slice(pairs), slice(pairs, 2 * pairs)))
    return ms_ssim(first, second, weights)
