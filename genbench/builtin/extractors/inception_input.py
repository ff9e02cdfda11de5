"""Converting uint8 images to the Inception network's input of 299×299 pixels: three protocols with different resizing.

The network was trained on values (x - 128) / 128; pytorch-fid uses 2x/255 - 1. Each protocol keeps its own scaling.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

SIZE = 299  # pixels, height and width

Preparation = Callable[[Tensor], Tensor]


def as_pytorch_fid(pixels: Tensor) -> Tensor:
    """Return (N, C, 299, 299) in [-1, 1] of uint8 images: bilinear with half-pixel centres, no antialias."""
    images = F.interpolate(pixels.float() / 255, (SIZE, SIZE), mode="bilinear", align_corners=False)
    return 2 * images - 1


def as_clean_fid(pixels: Tensor) -> Tensor:
    """Return (N, C, 299, 299) in [-1, 127/128]: bicubic with antialias in float, clamped to 0…255, not rounded.

    Parmar, Zhang and Zhu, "On Aliased Resizing and Surprising Subtleties in GAN Evaluation", CVPR 2022. The filter is
    Pillow's (a = -1/2, its width scaled by the reduction) on floating-point pixels.
    """
    images = pixels.double()  # as in Pillow: float32 weights would be off by hundredths of a grey level
    if images.shape[-2:] != (SIZE, SIZE):
        images = F.interpolate(images, (SIZE, SIZE), mode="bicubic", align_corners=False, antialias=True).clamp(0, 255)
    return ((images - 128) / 128).float()


def as_tensorflow(pixels: Tensor) -> Tensor:
    """Return (N, C, 299, 299) in [-1, 127/128]: bilinear from corners, as TensorFlow 1 resized inside the FID graph.

    Output pixel i is read at i·(in / out), without half-pixel centres and without antialias; positions beyond the last
    pixel take its value.
    """
    images = pixels.float()
    rows = _interpolate(images, -2)
    return (_interpolate(rows, -1) - 128) / 128


def _interpolate(images: Tensor, axis: int) -> Tensor:
    length = images.shape[axis]
    scale = torch.tensor(length, dtype=torch.float32) / SIZE
    at = torch.arange(SIZE, dtype=torch.float32) * scale
    low = at.floor().long().clamp(max=length - 1)
    high = (low + 1).clamp(max=length - 1)
    share = (at - low).to(images.device)
    if axis == -2:
        share = share[:, None]
    low, high = low.to(images.device), high.to(images.device)
    lower, upper = images.index_select(axis, low), images.index_select(axis, high)
    return lower + (upper - lower) * share
