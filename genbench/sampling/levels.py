"""From values to what is saved: 256 levels."""

from __future__ import annotations

import torch
from torch import Tensor


def to_levels(images: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Return float images, clamped to [low, high], as uint8: the nearest of 256 levels."""
    return ((images - low) / (high - low)).clamp(0, 1).mul(255).round().to(torch.uint8)
