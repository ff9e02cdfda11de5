"""Mode seeking: the generator keeps its images as far apart as their latents (Mao et al. 2019, arXiv:1903.05628).

It maximises E d(G(z), G(z')) / d(z, z') of two latents of the same class (their equation 1). As in the authors' code,
which was not compared line by line, the inverse is minimised, and distances are means of absolute differences; here the
ratio is that of each pair, and its mean is over the batch.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

import genbench
from genbench.builtin.losses.adversarial import ModeSeekingOptions
from genbench.builtin.losses.adversarial.create import chosen_game

_LEAST_RATIO = 1e-5  # added to the ratio, so that identical images have a finite loss


def mode_seeking(options: ModeSeekingOptions) -> genbench.AdversarialLoss:
    """Return a game whose generator minimises weight / ratio in addition."""

    def terms(batch: genbench.AdversarialBatch) -> genbench.Objective:
        latents = batch.draw_latents()
        ratio = mean_ratio(batch.fake, batch.generate(latents), batch.latents, latents)
        return genbench.Objective(options.weight / (ratio + _LEAST_RATIO), {"mode_seeking_ratio": ratio})

    return replace(chosen_game("mode-seeking", options.game, options), generator_terms=terms)


def mean_ratio(images: Tensor, others: Tensor, latents: Tensor, other_latents: Tensor) -> Tensor:
    """Return E |G(z) - G(z')| / |z - z'|, means of absolute differences over values and latents."""
    apart = (images.float() - others.float()).abs().flatten(1).mean(1)
    return (apart / (latents - other_latents).abs().mean(1)).mean()
