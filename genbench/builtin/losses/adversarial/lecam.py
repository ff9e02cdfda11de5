"""LeCam regularisation: the discriminator's logits stay near the moving average of its mean logit of the other kind.

Tseng et al. 2021, "Regularizing Generative Adversarial Networks under Limited Data", arXiv:2104.03310: with the moving
averages α_R of E D(x) and α_F of E D(G(z)),

    R_LC = E (D(x) - α_F)² + E (D(G(z)) - α_R)²                                             (equation 4)

is added to the discriminator's loss. A discriminator of several scales has two averages for each, as its scales have
levels of their own. The averages are state that is kept between steps, so they are buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

import genbench
from genbench.builtin.losses.adversarial import LeCamOptions
from genbench.builtin.losses.adversarial.create import chosen_game
from genbench.builtin.losses.adversarial.games import sum_over_scales

MOST_SCALES = 8  # of a discriminator; the state has a fixed size


class MeanLogits(nn.Module):
    """Moving averages of the mean logits of real images and of fakes, for each scale; the first update sets them."""

    real: Tensor  # α_R, (MOST_SCALES,)
    fake: Tensor  # α_F
    updates: Tensor  # so far, int64

    def __init__(self, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("real", torch.zeros(MOST_SCALES))
        self.register_buffer("fake", torch.zeros(MOST_SCALES))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, real_logits: Sequence[Tensor], fake_logits: Sequence[Tensor]) -> None:
        """Include the logits of one update of the discriminator."""
        new = torch.where(self.updates > 0, 1 - self.decay, 1.0)
        for held, found in ((self.real, real_logits), (self.fake, fake_logits)):
            means = torch.stack([logits.mean() for logits in found]).to(held)
            held[: len(found)].lerp_(means, new)
        self.updates.add_(1)


def distance_to_other_kind(real_logits: Tensor, fake_logits: Tensor, real_mean: Tensor, fake_mean: Tensor) -> Tensor:
    """E (D(x) - α_F)² + E (D(G(z)) - α_R)² (Tseng et al. 2021, eq. 4)."""
    return (real_logits - fake_mean).square().mean() + (fake_logits - real_mean).square().mean()


def lecam(options: LeCamOptions) -> genbench.AdversarialLoss:
    """Return a game whose discriminator is regularised with averages that include the present update."""
    game, means = chosen_game("lecam", options.game, options), MeanLogits(options.decay)
    of_discriminator, of_generator = sum_over_scales(game.discriminator), sum_over_scales(game.generator)

    def discriminator(real_logits: Sequence[Tensor], fake_logits: Sequence[Tensor]) -> genbench.Objective:
        if len(real_logits) > MOST_SCALES:
            raise genbench.GenbenchError(
                f"lecam keeps averages of {MOST_SCALES} scales, but the discriminator has {len(real_logits)}.",
                "Use another loss, or a discriminator with fewer scales.",
            )
        means.update(real_logits, fake_logits)
        held = zip(real_logits, fake_logits, means.real.clone(), means.fake.clone(), strict=False)
        distance = torch.stack([distance_to_other_kind(*scale) for scale in held]).sum()
        weight = options.weight * (means.updates > options.start).float()
        return genbench.Objective(of_discriminator(real_logits, fake_logits) + weight * distance, {"lecam": distance})

    return replace(game, discriminator=discriminator, generator=of_generator, module=means, takes_scales=True)
