"""Wasserstein losses, with penalties on the critic's gradient between real images and fakes.

A penalty uses one norm per image, then the mean over the batch. It is exact only if each logit depends on its own image
alone, which batch norm in the critic violates (Gulrajani et al. 2017, section 4).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

import genbench
from genbench_wgan import DivergenceOptions, LipschitzOptions

Critic: TypeAlias = Callable[[Tensor], Tensor]  # images (B, channels, height, width) -> logits (B,)


def one_sided(options: LipschitzOptions) -> genbench.AdversarialLoss:
    """Return the loss whose critic may have a slope below 1, but not above (Petzka et al. 2018)."""

    def of_norm(squared: Tensor) -> Tensor:
        # At norm 0 the root has no finite derivative, and 0 · ∞ would be NaN; the penalty is 0 there anyway.
        return (squared.clamp_min(1).sqrt() - 1).square()

    return _wasserstein(options.penalty_weight, of_norm)


def divergence(options: DivergenceOptions) -> genbench.AdversarialLoss:
    """Return the loss that penalises the p-th power of the critic's gradient norm (Wu et al. 2018)."""

    def of_norm(squared: Tensor) -> Tensor:
        return squared.pow(options.power / 2)

    return _wasserstein(options.penalty_weight, of_norm)


def squared_slopes(critic: Critic, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
    """Return ‖∇D(x̂)‖² for x̂ = ε·real + (1-ε)·fake, (B,) with its graph; one ε ~ U(0, 1) per image."""
    epsilon = torch.rand((len(real), 1, 1, 1), generator=rng, device=real.device, dtype=real.dtype)
    points = torch.lerp(fake, real, epsilon).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    return gradient.square().sum((1, 2, 3))


def _wasserstein(weight: float, of_norm: Callable[[Tensor], Tensor]) -> genbench.AdversarialLoss:
    """Return the loss with `weight` times the mean of a function of the squared slopes; weight 0 skips the penalty."""

    def penalty(critic: Critic, real: Tensor, fake: Tensor, rng: torch.Generator) -> Tensor:
        return weight * of_norm(squared_slopes(critic, real, fake, rng)).mean()

    return genbench.AdversarialLoss(
        discriminator=lambda real_logits, fake_logits: fake_logits.mean() - real_logits.mean(),
        generator=lambda fake_logits, real_logits: -fake_logits.mean(),
        penalty=penalty if weight else None,
    )
