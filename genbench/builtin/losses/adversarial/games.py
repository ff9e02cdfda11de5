"""Adversarial losses: pure functions on logits; every value is a mean over the batch.

softplus(a) = log(1 + exp(a)), so that -log sigmoid(l) = softplus(-l): finite for any finite logit, where the logarithm
of a probability is not.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus

import genbench


def binary_cross_entropy(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))): the discriminator's loss in both games (Goodfellow et al. 2014, eq. 1)."""
    return softplus(-real_logits).mean() + softplus(fake_logits).mean()


def non_saturating_generator(fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
    """-E log D(G(z)): strong gradients where the discriminator is sure (Goodfellow et al. 2014, section 3)."""
    return softplus(-fake_logits).mean()


def minimax_generator(fake_logits: Tensor, real_logits: Tensor | None = None) -> Tensor:
    """E log(1 - D(G(z))): the generator's side of the zero-sum game (Goodfellow et al. 2014, eq. 1)."""
    return -softplus(fake_logits).mean()


def non_saturating(options: None) -> genbench.AdversarialLoss:
    """Return the non-saturating game."""
    return genbench.AdversarialLoss(discriminator=binary_cross_entropy, generator=non_saturating_generator)


def minimax(options: None) -> genbench.AdversarialLoss:
    """Return the zero-sum game."""
    return genbench.AdversarialLoss(discriminator=binary_cross_entropy, generator=minimax_generator)
