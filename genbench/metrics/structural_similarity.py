"""Structural similarity of pairs of images, on one scale and on several.

In windows weighted by a Gaussian (11 pixels, σ = 1.5) with means μ, variances σ² and covariance σ₁₂ of two images
in [0, 1] (Wang et al., 2004, Image quality assessment, eq. 13):

    SSIM = l · cs      l = (2 μ₁μ₂ + C₁) / (μ₁² + μ₂² + C₁)      cs = (2 σ₁₂ + C₂) / (σ₁² + σ₂² + C₂)

with C₁ = 0.01² and C₂ = 0.03², averaged over all windows that lie within the image, and over channels.
The data range is always 1, never the range of a batch. Multi-scale similarity (Wang et al.,
2003, eq. 7) is the product of the means of cs on all scales but the coarsest, and of SSIM there, each to the power of
its weight; each scale halves the one before by averaging 2×2 pixels.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW = 11  # pixels
SIGMA = 1.5
C1, C2 = 0.01**2, 0.03**2
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first (Wang et al., 2003)

_CHUNK = 256  # pairs


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Return the similarity of each pair of images (N, channels, height, width) in [0, 1]: (N,) float64, at most 1.

    Raises ValueError if shapes differ or a side is shorter than the window.
    """
    _check(a, b)
    return torch.cat([_similarity(*pair)[0].mean(1) for pair in _chunks(a, b)])


def ms_ssim(a: Tensor, b: Tensor, weights: tuple[float, ...]) -> Tensor:
    """Return the multi-scale similarity of each pair of images (N, channels, height, width) in [0, 1]: (N,) float64.

    There are as many scales as weights (`scale_weights`). A negative similarity on a scale counts as 0, since its
    fractional power is undefined. Raises ValueError as `ssim` does, for the coarsest scale too.
    """
    _check(a, b)
    return torch.cat([_over_scales(*pair, weights).mean(1) for pair in _chunks(a, b)])


def scale_weights(height: int, width: int) -> tuple[float, ...]:
    """Return the weights of the scales, five at most, that fit an image; they sum to 1. Empty if none fits."""
    side, fitting = min(height, width), 0
    while fitting < len(WEIGHTS) and side >= WINDOW:
        side, fitting = side // 2, fitting + 1
    total = sum(WEIGHTS[:fitting])
    return tuple(weight / total for weight in WEIGHTS[:fitting])


def _over_scales(a: Tensor, b: Tensor, weights: tuple[float, ...]) -> Tensor:
    product = torch.ones(a.shape[:2], dtype=torch.float64)
    for scale, weight in enumerate(weights):
        if scale:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        whole, contrast = _similarity(a, b)
        product *= (whole if scale == len(weights) - 1 else contrast).clamp_min(0) ** weight
    return product


def _similarity(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means over windows of SSIM and of cs: (N, channels) each."""
    mean_a, mean_b, square_a, square_b, product = (_blur(image) for image in (a, b, a * a, b * b, a * b))
    luminance = (2 * mean_a * mean_b + C1) / (mean_a * mean_a + mean_b * mean_b + C1)
    variances = (square_a - mean_a * mean_a) + (square_b - mean_b * mean_b)
    contrast = (2 * (product - mean_a * mean_b) + C2) / (variances + C2)
    return (luminance * contrast).mean((2, 3)), contrast.mean((2, 3))


def _blur(images: Tensor) -> Tensor:
    channels = images.shape[1]
    offsets = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    window = torch.exp(-offsets.square() / (2 * SIGMA**2))
    window = (window / window.sum()).expand(channels, 1, -1)
    across = F.conv2d(images, window[:, :, None, :], groups=channels)
    return F.conv2d(across, window[:, :, :, None], groups=channels)


def _chunks(a: Tensor, b: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    yield from ((x.double(), y.double()) for x, y in zip(torch.split(a, _CHUNK), torch.split(b, _CHUNK), strict=True))


def _check(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape:
        raise ValueError(f"images of {tuple(a.shape)} and {tuple(b.shape)} cannot be compared: shapes must agree.")
    if len(a) == 0:
        raise ValueError("there are no pairs of images.")
    if min(a.shape[-2:]) < WINDOW:
        raise ValueError(f"images of {a.shape[-2]}×{a.shape[-1]} pixels are smaller than the window of {WINDOW}.")
