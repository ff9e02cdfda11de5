"""From noise to images in few steps: along a deterministic path, or with new noise in each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor


def heun(denoise: Callable[[Tensor, float], Tensor], noise: Tensor, levels: Sequence[float]) -> Tensor:
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


def dpm_solver(denoise: Callable[[Tensor, float], Tensor], noise: Tensor, levels: Sequence[float]) -> Tensor:
    """Solve the same equation, with D linear in -ln σ through the last two evaluations: N levels take N.

    Lu et al. 2022 (arXiv:2211.01095), algorithm 2 (DPM-Solver++(2M)), in x / α: second order, except in the first and
    the last step, which takes D itself.
    """
    images, before, width = levels[0] * noise, None, 0.0
    for level, following in pairwise(levels):
        predicted = denoise(images, level)
        step = math.log(level / following) if following else math.inf
        ahead = predicted
        if before is not None and following:
            ahead = predicted + step / (2 * width) * (predicted - before)
        images = following / level * images - math.expm1(-step) * ahead
        before, width = predicted, step
    return images


def ddim(
    denoise: Callable[[Tensor, float], Tensor], noise: Tensor, levels: Sequence[float], eta: float, rng: torch.Generator
) -> Tensor:
    """Predict the image at each level σ and return to the next level σ' with noise that is partly new.

    Song et al. 2021 (arXiv:2010.02502), equations 12 and 16, in x / √ᾱ, whose noise level is σ = √(1/ᾱ - 1):
    x' = D + √(σ'² - s²) (x - D) / σ + s ε, s = η σ'/σ √(σ² - σ'²). With η = 0 the path is deterministic; η = 1 is DDPM.

    Args:
        denoise: (x, σ) -> the denoised images D.
        noise: (B, channels, height, width), of unit variance.
        levels: decreasing noise levels, the last of them 0.
        eta: η, in [0, 1].
        rng: draws ε.
    """
    images = levels[0] * noise
    for level, following in pairwise(levels):
        predicted = denoise(images, level)
        new = eta * following / level * math.sqrt(level**2 - following**2)
        images = predicted + math.sqrt(max(0.0, following**2 - new**2)) * (images - predicted) / level
        if new:
            images = images + new * torch.randn(images.shape, generator=rng, device=images.device)
    return images
