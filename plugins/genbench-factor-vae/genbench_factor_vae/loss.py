"""The loss `factor` and its terms, in nats."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

import genbench
from genbench_factor_vae import FactorOptions

JOINT, PRODUCT = 0, 1  # the discriminator's classes: latents as encoded, and independent ones


@dataclass(frozen=True)
class FactorLoss:
    """What the family receives."""

    gamma: float
    nll: Callable[[Tensor, Tensor], Tensor]  # (images in [0, 1], logits) -> -log p(x|z) of each image, (B,)
    likelihood: genbench.Likelihood
    discriminator: dict[str, float]  # settings that differ for the discriminator's optimiser


def factor(options: FactorOptions) -> FactorLoss:
    """Return the loss with these options."""
    own = {"beta1": options.discriminator_beta1, "beta2": options.discriminator_beta2}
    if options.likelihood == "bernoulli":
        return FactorLoss(options.gamma, bernoulli_nll, genbench.Likelihood("bernoulli", "cross-entropy"), own)

    def nll(images: Tensor, logits: Tensor) -> Tensor:
        return gaussian_nll(images, logits, options.sigma)

    return FactorLoss(options.gamma, nll, genbench.Likelihood("gaussian", "density"), own)


def bernoulli_nll(images: Tensor, logits: Tensor) -> Tensor:
    """Σ -x log p - (1-x) log(1-p), p = sigmoid(logits): sum over pixels, (B,)."""
    return binary_cross_entropy_with_logits(logits, images, reduction="none").flatten(1).sum(1)


def gaussian_nll(images: Tensor, logits: Tensor, sigma: float) -> Tensor:
    """Σ (x - p)² / 2σ² + log σ√(2π), p = sigmoid(logits): sum over pixels, (B,)."""
    squared = (images - logits.sigmoid()).square() / (2 * sigma**2)
    return (squared + math.log(sigma) + 0.5 * math.log(2 * math.pi)).flatten(1).sum(1)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Σ ½(μ² + σ² - 1 - log σ²): sum over latents, (B,)."""
    return 0.5 * (mean.square() + torch.expm1(log_variance) - log_variance).sum(1)


def total_correlation(logits: Tensor) -> Tensor:
    """E[D₀(z) - D₁(z)], the estimate of KL(q(z) ‖ Π q(z_j)) from logits (B, 2) of latents (equation 3)."""
    return (logits[:, JOINT] - logits[:, PRODUCT]).mean()


def discriminator_loss(joint: Tensor, product: Tensor) -> Tensor:
    """½ CE(D(z), 0) + ½ CE(D(z'), 1) of logits (B, 2) (algorithm 2)."""
    right = [
        judged.new_full((len(judged),), kind, dtype=torch.int64)
        for judged, kind in ((joint, JOINT), (product, PRODUCT))
    ]
    return 0.5 * (cross_entropy(joint, right[0]) + cross_entropy(product, right[1]))


def permute_latents(latents: Tensor, rng: torch.Generator) -> Tensor:
    """Permute each latent among the images, (B, latent_dim), independently of the others (algorithm 1)."""
    order = torch.rand(latents.shape, generator=rng, device=latents.device).argsort(0)
    return latents.gather(0, order)
