"""The loss `joint-game`: pure functions of logits (B,) of pairs."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus


def discriminator_loss(encoded: Tensor, generated: Tensor) -> Tensor:
    """E softplus(-D(x, E(x))) + E softplus(D(G(z), z)).

    Its optimum is D = log q(x, z) - log p(x, z), the ratio of the joint densities (Dumoulin et al. 2017, section 2).
    """
    return softplus(-encoded).mean() + softplus(generated).mean()


def players_loss(encoded: Tensor, generated: Tensor) -> Tensor:
    """E softplus(D(x, E(x))) + E softplus(-D(G(z), z)), for encoder and generator together (algorithm 1)."""
    return softplus(encoded).mean() + softplus(-generated).mean()


class JointGame:
    """What the family receives: the game has no options."""

    def __init__(self, options: None = None) -> None:
        pass
