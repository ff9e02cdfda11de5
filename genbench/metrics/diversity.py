"""The metric `diversity`: how much the generated images differ from one another, relative to the data.

It detects a generator's crudest failure, identical samples, without any network. It does not detect samples that repeat
a few images in the data's proportions, and noise scores well: read it together with a distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.metrics.standard_errors import make_blocks, standard_error_from_replicates

if TYPE_CHECKING:
    import numpy as np

Pixels: TypeAlias = "Tensor | np.ndarray[Any, Any]"  # uint8, (N, channels, height, width)

NAME = "diversity"

# A generator whose spread is below a tenth of the data's draws one image. The data themselves score 1 and samples of
# poorly trained models above 0.5, so the threshold of the status `collapsed` has a wide margin on both sides.
COLLAPSED_BELOW = 0.1

_CHUNK = 256  # images at a time: the sum of this many squared bytes stays below 2²⁴ and so is exact in float32


def pixel_diversity(pixels: Pixels) -> float:
    """Return the mean over pixels and channels of the standard deviation across images, in [0, 1] grey levels.

    `pixels` is uint8 (N, channels, height, width) with N ≥ 2, else ValueError. The result is exactly 0 where
    all images are identical.
    """
    return _Sums.of(torch.as_tensor(pixels)).diversity()


def collapsed(samples: Pixels, train: Pixels) -> bool:
    """Return whether the samples' diversity is below `COLLAPSED_BELOW` of the training images'.

    False where this cannot be determined: fewer than two images, or identical training images.
    """
    if len(samples) < 2 or len(train) < 2:
        return False
    return pixel_diversity(samples) < COLLAPSED_BELOW * pixel_diversity(train)


def measure(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return `pixel_diversity` of the samples divided by that of the training images.

    It is 1 for equal spread and 0 for identical samples. The standard error covers the drawing of samples, by the
    delete-block jackknife.
    """
    samples = torch.as_tensor(evaluation.samples.pixels)
    n = len(samples)
    if n < 2:
        return Unavailable(NAME, "diversity needs at least two samples.")
    reference = pixel_diversity(evaluation.train.pixels)
    if reference == 0:
        return Unavailable(NAME, "the training images are identical: there is no spread to compare with.")
    sums = _Sums.of(samples)
    blocks = make_blocks(n, evaluation.generator("jackknife of diversity"))
    replicates = [(sums - _Sums.of(samples[block])).diversity() / reference for block in blocks]
    return Estimate(
        metric=NAME,
        value=sums.diversity() / reference,
        standard_error=standard_error_from_replicates(torch.tensor(replicates)) if blocks else None,
        n=n,
        direction="higher",
        protocol={
            "statistic": "mean over pixels of the standard deviation over images",
            "reference_split": "train",
            "n_reference": len(evaluation.train.pixels),
        },
    )


@dataclass(frozen=True)
class _Sums:
    """Sums over images of each pixel's value and of its square: exact integers, so that they can be subtracted."""

    n: int
    first: Tensor  # int64, (channels, height, width)
    second: Tensor

    @classmethod
    def of(cls, pixels: Tensor) -> _Sums:
        if pixels.dtype != torch.uint8:
            raise ValueError(f"diversity is measured on uint8 images, not on {pixels.dtype}.")
        first = torch.zeros(pixels.shape[1:], dtype=torch.int64, device=pixels.device)
        second = torch.zeros_like(first)
        for chunk in torch.split(pixels, _CHUNK):
            values = chunk.float()
            first += values.sum(0).long()
            second += values.square_().sum(0).long()
        return cls(len(pixels), first, second)

    def __sub__(self, other: _Sums) -> _Sums:
        return _Sums(self.n - other.n, self.first - other.first, self.second - other.second)

    def diversity(self) -> float:
        if self.n < 2:
            raise ValueError(f"a standard deviation needs at least two images; there are {self.n}.")
        # n Σx² - (Σx)² stays an exact int64 up to ten million images
        scatter = self.n * self.second - self.first.square()
        variances = scatter.double() / (self.n * (self.n - 1))
        return float(variances.sqrt().mean()) / 255
