"""From noise to images along a deterministic path, in few steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor


def follow(denoise: Callable[[Tensor, float], Tensor], noise: Tensor, levels: Sequence[float]) -> Tensor:
    """Solve dx/dσ = (x - D(x; σ)) / σ with Heun's method from x = σ₀ · noise down the levels, the last of which is 0.

    Karras et al. 2022 (arXiv:2206.00364), algorithm 1: second order, except in the last step, where the final slope is
    undefined. N levels above 0 take 2N - 1 evaluations of D.

    Args:
        denoise: (x, σ) -> the denoised images.
        noise: (B, channels, height, width), of unit variance.
        levels: decreasing noise levels, the last of them 0.
    """
    images = levels[0] * noise
    for level, following in pairwise(levels):
        slope = (images - denoise(images, level)) / level
        moved = images + (following - level) * slope
        if following:
            slope_there = (moved - denoise(moved, following)) / following
            moved = images + (following - level) * (slope + slope_there) / 2
        images = moved
    return images
