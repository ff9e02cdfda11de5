"""The variational bound of a denoiser on the likelihood of images of 256 levels."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

LEVELS = 256
_REACH = 12  # standard deviations beyond which a level is impossible: a share below 1e-30


def diffusion_loss(denoise: Callable[[Tensor, Tensor], Tensor], image: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Return |y - D(y + σ ε; σ)|² / σ² of one image at K levels, (K,): the density of the bound over ln σ.

    Kingma et al. 2021 (arXiv:2107.00630), equation 15, the limit of infinitely many steps: with SNR = 1/σ²,
    ½ ∫ |y - D|² |dSNR| = ∫ |y - D|² / σ² d ln σ.

    Args:
        denoise: (x, σ) -> D, with σ of shape (K, 1, 1, 1).
        image: y, (channels, height, width).
        sigma: (K,).
        noise: ε, (K, channels, height, width).
    """
    levels = sigma[:, None, None, None]
    return ((denoise(image + levels * noise, levels) - image) / levels).square().flatten(1).sum(1)


def prior_loss(image: Tensor, sigma_max: float) -> Tensor:
    """Return KL(N(y, σ_max²) ‖ N(0, σ_max²)) in nats, summed over values: what is left of the image at the start."""
    return image.square().sum() / (2 * sigma_max**2)


def level_loss(image: Tensor, noise: Tensor, sigma_min: float, spacing: float, low: float) -> Tensor:
    """Return -log P(y | y + σ_min ε) in nats, (K,): which of 256 levels the image has, given its least noisy version.

    Kingma et al. 2021, equation 8: the probability of each level is proportional to N(y + σ_min ε; level, σ_min²).

    Args:
        image: y, (channels, height, width), of levels `spacing` apart, the first of which is `low`.
        noise: ε, (K, channels, height, width).
        sigma_min: the lowest noise level.
        spacing: between two levels.
        low: the value of level 0.
    """
    reach = min(LEVELS - 1, math.ceil(_REACH * sigma_min / spacing) + 1)
    level = ((image - low) / spacing).round()
    total = torch.full_like(noise, -math.inf)
    for away in range(-reach, reach + 1):
        exists = (level + away >= 0) & (level + away < LEVELS)
        logit = -0.5 * (noise - away * spacing / sigma_min).square()
        total = torch.logaddexp(total, torch.where(exists, logit, -math.inf))
    return (total + 0.5 * noise.square()).flatten(1).sum(1)
