"""Converting uint8 images to the Inception network's input of 299×299 pixels.

The network was trained on values (x - 128) / 128; pytorch-fid uses 2x/255 - 1. Tools also differ in how they resize,
and some round the resized image to 8 bits. Every combination can be prepared here; three have a name of their own.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

SIZE = 299  # pixels, height and width

# Filter, then grid: half-pixel centres, except for "bilinear-corner", in which output pixel i is read at i·(in / out).
# With antialias the filter is as wide as the reduction. Bicubic is torch's with a = -3/4, or Pillow's with -1/2.
RESIZES = ("bilinear", "bilinear-antialias", "bicubic", "bicubic-antialias", "bilinear-corner")
ROUNDINGS = ("none", "8-bit")  # of the resized image, before it is scaled
SCALES = ("2x/255-1", "(x-128)/128")

Preparation = Callable[[Tensor], Tensor]


def as_pytorch_fid(pixels: Tensor) -> Tensor:
    """Return (N, C, 299, 299) in [-1, 1] of uint8 images: bilinear with half-pixel centres, no antialias."""
    return prepared(pixels, "bilinear", "none", "2x/255-1")


def as_clean_fid(pixels: Tensor) -> Tensor:
    """Return (N, C, 299, 299) in [-1, 127/128]: bicubic with antialias in float, clamped to 0…255, not rounded.

    Parmar, Zhang and Zhu, "On Aliased Resizing and Surprising Subtleties in GAN Evaluation", CVPR 2022. The filter is
    Pillow's (a = -1/2, its width scaled by the reduction) on floating-point pixels.
    """
    return prepared(pixels, "bicubic-antialias", "none", "(x-128)/128")


def as_tensorflow(pixels: Tensor) -> Tensor:
    """Return (N, C, 299, 299) in [-1, 127/128]: bilinear from corners, as TensorFlow 1 resized inside the FID graph."""
    return prepared(pixels, "bilinear-corner", "none", "(x-128)/128")


def prepared(pixels: Tensor, resize: str, rounding: str, scale: str) -> Tensor:
    """Return (N, C, 299, 299) of uint8 images, resized, rounded and scaled in the ways named above.

    Images of 299×299 pixels are not resized.
    """
    if rounding == "8-bit":
        pixels = rounded(pixels, resize)
    if scale == "2x/255-1":  # pytorch-fid divides before it resizes
        return (2 * resized(pixels.float() / 255, resize, 1) - 1).float()
    return ((resized(pixels.float(), resize, 255) - 128) / 128).float()


def resized(images: Tensor, method: str, white: float) -> Tensor:
    """Return float images (N, C, 299, 299), of values from 0 to `white`, to which a bicubic filter is clamped."""
    if images.shape[-2:] == (SIZE, SIZE):
        return images
    if method == "bilinear-corner":
        return _interpolate(_interpolate(images, -2), -1)
    filtering, _, antialias = method.partition("-")
    if filtering == "bicubic":  # as in Pillow: float32 weights would be off by hundredths of a grey level
        images = images.double()
    found = F.interpolate(images, (SIZE, SIZE), mode=filtering, align_corners=False, antialias=bool(antialias))
    return found.clamp(0, white) if filtering == "bicubic" else found


def rounded(pixels: Tensor, method: str) -> Tensor:
    """Return uint8 images (N, C, 299, 299): with antialias resized by Pillow, which rounds after either direction."""
    if not method.endswith("antialias"):
        return resized(pixels.float(), method, 255).round().to(torch.uint8)
    filtering = Image.Resampling[method.removesuffix("-antialias").upper()]
    planes = pixels.cpu().flatten(0, 1).numpy()
    found = [np.array(Image.fromarray(plane).resize((SIZE, SIZE), filtering)) for plane in planes]
    return torch.from_numpy(np.stack(found)).reshape(*pixels.shape[:2], SIZE, SIZE).to(pixels.device)


def _interpolate(images: Tensor, axis: int) -> Tensor:
    """Return the images resized along one axis, as in TensorFlow 1: positions beyond the last pixel take its value."""
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
