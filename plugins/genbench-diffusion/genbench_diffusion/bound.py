"""The variational bound of a denoiser on the likelihood of images of 256 levels."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

LEVELS = 256
_REACH = 12  # standard deviations beyond which a level is impossible: a share below 1e-30


def diffusion_loss(denoise: Callable[[Tensor, Tensor], Tensor], images: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
    """Return |y - D(y + σ ε; σ)|² / σ² of each image at its level, (N,): the density of the bound over ln σ.

    Kingma et al. 2021 (arXiv:2107.00630), equation 15, the limit of infinitely many steps: with SNR = 1/σ²,
    ½ ∫ |y - D|² |dSNR| = ∫ |y - D|² / σ² d ln σ.

    Args:
        denoise: (x, σ) -> D, with σ of shape (N, 1, 1, 1).
        images: y, (N, channels, height, width).
        sigma: (N,).
        noise: ε, in the shape of the images.
    """
    levels = sigma[:, None, None, None]
    return ((denoise(images + levels * noise, levels) - images) / levels).square().flatten(1).sum(1)


def prior_loss(images: Tensor, sigma_max: float) -> Tensor:
    """Return KL(N(y, σ_max²) ‖ N(0, σ_max²)) in nats, (N,): what is left of each image at the start."""
    return images.square().flatten(1).sum(1) / (2 * sigma_max**2)


def level_loss(images: Tensor, noise: Tensor, sigma_min: float, spacing: float, low: float) -> Tensor:
    """Return -log P(y | y + σ_min ε) in nats, (N,): which of 256 levels an image has, given its least noisy version.

    Kingma et al. 2021, equation 8: the probability of each level is proportional to N(y + σ_min ε; level, σ_min²).

    Args:
        images: y, (N, channels, height, width), of levels `spacing` apart, the first of which is `low`.
        noise: ε, in the shape of the images.
        sigma_min: the lowest noise level.
        spacing: between two levels.
        low: the value of level 0.
    """
    reach = min(LEVELS - 1, math.ceil(_REACH * sigma_min / spacing) + 1)
    level = ((images - low) / spacing).round()
    total = torch.full_like(noise, -math.inf)
    for away in range(-reach, reach + 1):
        exists = (level + away >= 0) & (level + away < LEVELS)
        logit = -0.5 * (noise - away * spacing / sigma_min).square()
        total = torch.logaddexp(total, torch.where(exists, logit, -math.inf))
    return (total + 0.5 * noise.square()).flatten(1).sum(1)
