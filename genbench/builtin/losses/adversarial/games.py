"""Adversarial games: pure functions on logits; every value is a mean over the batch.

softplus(a) = log(1 + exp(a)), so that -log sigmoid(l) = softplus(-l): finite for any finite logit, unlike the logarithm
of a computed probability.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import softplus

import genbench

DiscriminatorLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # (real_logits, fake_logits) -> scalar
GeneratorLoss: TypeAlias = Callable[[Tensor, Tensor | None], Tensor]  # (fake_logits, real_logits or None) -> scalar


def binary_cross_entropy(real_logits: Tensor, fake_logits: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))): the discriminator's loss in both games (Goodfellow et al. 2014, eq. 1).

    With one-sided label smoothing s the target for real images is 1 - s, and -(1-s) log D - s log(1-D) equals
    softplus(-l) + s·l (Salimans et al. 2016, section 3.4).
    """
    loss = softplus(-real_logits).mean() + softplus(fake_logits).mean()
    return loss + label_smoothing * real_logits.mean() if label_smoothing else loss


def non_saturating_generator(fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
    """-E log D(G(z)): strong gradients where the discriminator is confident (Goodfellow et al. 2014, section 3)."""
    return softplus(-fake_logits).mean()


def minimax_generator(fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
    """E log(1 - D(G(z))): the generator's objective in the zero-sum game (Goodfellow et al. 2014, eq. 1)."""
    return -softplus(fake_logits).mean()


def least_squares_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½ E (D(x) - 1)² + ½ E D(G(z))² (Mao et al. 2017, eq. 9)."""
    return 0.5 * ((real_logits - 1).square().mean() + fake_logits.square().mean())


def least_squares_generator(fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
    """½ E (D(G(z)) - 1)² (Mao et al. 2017, eq. 9)."""
    return 0.5 * (fake_logits - 1).square().mean()


def pearson_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½ E (D(x) - 1)² + ½ E (D(G(z)) + 1)² (Mao et al. 2017, eq. 8)."""
    return 0.5 * ((real_logits - 1).square().mean() + (fake_logits + 1).square().mean())


def pearson_generator(fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
    """½ E D(G(z))²; with the optimal D, half the Pearson χ² divergence of p + q and 2q (Mao et al. 2017, eq. 8)."""
    return 0.5 * fake_logits.square().mean()


def hinge_discriminator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))) (Miyato et al. 2018, eq. 16)."""
    return (1 - real_logits).relu().mean() + (1 + fake_logits).relu().mean()


def wasserstein_critic(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E D(G(z)) - E D(x): minus the critic's estimate of the distance (Arjovsky et al. 2017, eq. 2)."""
    return fake_logits.mean() - real_logits.mean()


def linear_generator(fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
    """-E D(G(z)), against a critic or a hinge (Arjovsky et al. 2017, algorithm 1; Miyato et al. 2018, eq. 17)."""
    return -fake_logits.mean()


def relativistic_average(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E softplus(-(D(x) - E D(G(z)))) + E softplus(D(G(z)) - E D(x)) (Jolicoeur-Martineau 2018, RaSGAN)."""
    real_above, fake_above = real_logits - fake_logits.mean(), fake_logits - real_logits.mean()
    return softplus(-real_above).mean() + softplus(fake_above).mean()


def relativistic_pairs(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E softplus(-(D(x) - D(G(z)))): each real image is paired with one fake (Jolicoeur-Martineau 2018, RSGAN)."""
    return softplus(fake_logits - real_logits).mean()


def swapped(discriminator_loss: DiscriminatorLoss) -> GeneratorLoss:
    """Return the generator's loss of a relativistic game: the discriminator's, with real and fake swapped."""

    def generator_loss(fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
        if real_logits is None:
            raise TypeError("a relativistic generator loss needs the logits of real images too")
        return discriminator_loss(fake_logits, real_logits)

    return generator_loss


def sum_over_scales(
    loss: Callable[[Tensor, Tensor | None], Tensor | genbench.Objective],
) -> Callable[[Sequence[Tensor], Sequence[Tensor] | None], Tensor]:
    """Return a player's loss as a function of the logits of each scale, summed over the scales."""

    def summed(first: Sequence[Tensor], second: Sequence[Tensor] | None = None) -> Tensor:
        others: Sequence[Tensor | None] = [None] * len(first) if second is None else second
        return torch.stack([total_of(loss(one, other)) for one, other in zip(first, others, strict=True)]).sum()

    return summed


def total_of(found: Tensor | genbench.Objective) -> Tensor:
    """Return the loss of a player, which may have been returned with terms."""
    return found.total if isinstance(found, genbench.Objective) else found
