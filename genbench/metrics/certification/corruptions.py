"""Corruptions of real images by increasing severity, for the certificate of an extractor.

Pixels are uint8 (N, channels, height, width) before and after. Severity is relative to the range of the values or the
size of the image, so that it means the same on all data. Every level of noise draws the same random numbers: a series
then shows the same image getting worse.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_AT_ONCE = 256  # images corrupted at a time

Corrupt = Callable[[Tensor, float, torch.Generator], Tensor]  # (pixels, severity, rng) -> pixels


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption and its severities."""

    name: str
    unit: str  # of the severity
    severities: tuple[float, ...]  # ascending
    corrupt: Corrupt

    def __call__(self, pixels: Tensor, severity: float, rng: torch.Generator) -> Tensor:
        """Return the corrupted images; severity 0 leaves them unchanged."""
        if severity == 0:
            return pixels
        return torch.cat([self.corrupt(part, severity, rng) for part in torch.split(pixels, _AT_ONCE)])


def add_noise(pixels: Tensor, deviation: float, rng: torch.Generator) -> Tensor:
    """Add Gaussian noise to every value, of this standard deviation relative to the range of values."""
    return _to_levels(pixels + 255 * deviation * torch.randn(pixels.shape, generator=rng))


def blur(pixels: Tensor, width: float, rng: torch.Generator) -> Tensor:
    """Convolve with a Gaussian whose standard deviation is this share of the shorter side; edges are replicated."""
    deviation = width * min(pixels.shape[-2:])
    radius = math.ceil(3 * deviation)
    places = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-places.square() / (2 * deviation**2))
    kernel = (kernel / kernel.sum()).view(1, 1, -1, 1)
    images = pixels.flatten(0, 1).unsqueeze(1).float()  # each channel separately
    images = F.conv2d(F.pad(images, (0, 0, radius, radius), mode="replicate"), kernel)
    images = F.conv2d(F.pad(images, (radius, radius, 0, 0), mode="replicate"), kernel.transpose(2, 3))
    return _to_levels(images).view(pixels.shape)


def salt_and_pepper(pixels: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Make this share of the pixels black or white, with equal probability."""
    chance = torch.rand((len(pixels), 1, *pixels.shape[-2:]), generator=rng)
    darkened = torch.where(chance < share / 2, torch.zeros_like(pixels), pixels)
    return torch.where(chance > 1 - share / 2, torch.full_like(pixels, 255), darkened)


def _to_levels(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


CORRUPTIONS = (
    Corruption("noise", "standard deviation, of a range of 1", (0.02, 0.05, 0.1, 0.2, 0.4), add_noise),
    Corruption("blur", "standard deviation, of the shorter side", (0.02, 0.04, 0.08, 0.16), blur),
    Corruption("salt and pepper", "share of the pixels", (0.01, 0.03, 0.1, 0.3), salt_and_pepper),
)


def class_counts(classes: int) -> list[int]:
    """Return the numbers of classes to drop, level by level: from one to all but one, in at most nine levels."""
    return sorted({round((classes - 1) * level / 9) for level in range(1, 10)} - {0})
