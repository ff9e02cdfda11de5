"""Divergence of a diagonal Gaussian posterior from the prior N(0, I), in closed form, and log densities of latents."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def kl_per_latent(mean: Tensor, log_variance: Tensor) -> Tensor:
    """½(μ² + σ² - 1 - log σ²) of each latent, mean over the batch: (latent_dim,) (Kingma & Welling 2014, app. B)."""
    return 0.5 * (mean.square() + torch.expm1(log_variance) - log_variance).mean(0)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, I)), sum over latents, mean over the batch: a scalar."""
    return (mean.square() + torch.expm1(log_variance) - log_variance).sum() * (0.5 / len(mean))


def log_normal(latents: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(z; μ, σ²) of each latent, in the broadcast shape of the arguments."""
    deviation = (latents - mean) * (-0.5 * log_variance).exp()
    return -0.5 * (deviation.square() + log_variance + math.log(2 * math.pi))


def log_standard_normal(latents: Tensor) -> Tensor:
    """log N(z; 0, 1) of each latent."""
    return -0.5 * (latents.square() + math.log(2 * math.pi))
