"""The loss `aae`: the reconstruction, and the game over codes."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import softplus

import genbench


@dataclass(frozen=True)
class AdversarialAutoencoderLoss:
    """What the family receives."""

    likelihood: genbench.ImageLikelihood
    module: nn.Module | None  # the scale of the likelihood, if it is trained


def aae(options: genbench.LikelihoodOptions) -> AdversarialAutoencoderLoss:
    """Return the loss with this likelihood as its reconstruction term."""
    likelihood = genbench.make_likelihood(options)
    return AdversarialAutoencoderLoss(likelihood, likelihood.scale)


def discriminator_loss(prior: Tensor, encoded: Tensor) -> Tensor:
    """E softplus(-D(z)) + E softplus(D(E(x))), z of the prior, from logits (B,)."""
    return softplus(-prior).mean() + softplus(encoded).mean()


def encoder_loss(encoded: Tensor) -> Tensor:
    """E softplus(-D(E(x))): the non-saturating form of the paper's game, from logits (B,)."""
    return softplus(-encoded).mean()
