"""LeCam regularisation: the discriminator's logits stay near the moving average of its mean logit of the other kind.

Tseng et al. 2021, "Regularizing Generative Adversarial Networks under Limited Data", arXiv:2104.03310: with the moving
averages α_R of E D(x) and α_F of E D(G(z)),

    R_LC = E (D(x) - α_F)² + E (D(G(z)) - α_R)²                                             (equation 4)

is added to the discriminator's loss. The averages are state that is kept between steps, so they are buffers.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

import genbench
from genbench.builtin.losses.adversarial import LeCamOptions
from genbench.builtin.losses.adversarial.create import chosen_game
from genbench.builtin.losses.adversarial.games import total_of


class MeanLogits(nn.Module):
    """Moving averages of the mean logits of real images and of fakes; the first update sets them."""

    real: Tensor  # α_R
    fake: Tensor  # α_F
    updates: Tensor  # so far, int64

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("real", torch.zeros(()))
        self.register_buffer("fake", torch.zeros(()))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, real_logits: Tensor, fake_logits: Tensor) -> None:
        """Include the logits of one update of the discriminator."""
        new = torch.where(self.updates > 0, 1 - self.decay, 1.0)
        self.real.lerp_(real_logits.mean().to(self.real), new)
        self.fake.lerp_(fake_logits.mean().to(self.fake), new)
        self.updates.add_(1)


def distance_to_other_kind(real_logits: Tensor, fake_logits: Tensor, real_mean: Tensor, fake_mean: Tensor) -> Tensor:
    """E (D(x) - α_F)² + E (D(G(z)) - α_R)² (Tseng et al. 2021, eq. 4)."""
    return (real_logits - fake_mean).square().mean() + (fake_logits - real_mean).square().mean()


def lecam(options: LeCamOptions) -> genbench.AdversarialLoss:
    """Return a game whose discriminator is regularised with averages that include the present update."""
    game, means = chosen_game("lecam", options.game, options), MeanLogits(options.decay)

    def discriminator(real_logits: Tensor, fake_logits: Tensor) -> genbench.Objective:
        total = total_of(game.discriminator(real_logits, fake_logits))
        means.update(real_logits, fake_logits)
        distance = distance_to_other_kind(real_logits, fake_logits, means.real.clone(), means.fake.clone())
        weight = options.weight * (means.updates > options.start).float()
        return genbench.Objective(total + weight * distance, {"lecam": distance})

    return replace(game, discriminator=discriminator, module=means)
