"""VEEGAN (Srivastava et al. 2017, arXiv:1705.07761): a reconstructor F maps images back to latents.

F is trained to invert the generator G on latents z of the prior. If G drops modes of the data, F maps their images to
latents that are not distributed as the prior, which the discriminator of pairs (latents, images) notices. With D the
logit that a pair is (z, G(z)) and not (F(x), x), as in algorithm 1:

    L_D = -E log σ(D(z, G(z))) - E log (1 - σ(D(F(x), x)))
    L_G = E D(z, G(z)) + λ E d(z, F(G(z)))
    L_F = λ E d(z, F(G(z)))

d is the squared error, here a mean over the latents, so that λ does not depend on their number. The paper's weight is
not known to us; λ = 1 is ours. The algorithm of the paper was recalled, not compared line by line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss, softplus

import genbench
from genbench_adversarial import ReconstructionOptions


class Reconstruction:
    """What the family needs of its loss: the weight λ."""

    def __init__(self, options: ReconstructionOptions) -> None:
        self.weight = options.weight


class VEEGAN:
    """Two players: the discriminator; then the generator and the reconstructor, on the same fakes."""

    def __init__(self, setup: genbench.Setup) -> None:
        self.setup = setup
        self.loss: Reconstruction = setup.loss
        self.generator = setup.networks["generator"]
        self.reconstructor = setup.networks["reconstructor"]
        self.discriminator = setup.networks["discriminator"]

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the two phases; L_G and L_F share a term, and D(z, G(z)) does not depend on F."""
        return (
            genbench.Phase("discriminator", ("discriminator",), self.discriminator_objective),
            genbench.Phase(
                "generator", ("generator", "reconstructor"), self.generator_objective, frozen=("discriminator",)
            ),
        )

    def discriminator_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Distinguish (z, G(z)) from (F(x), x)."""
        latents = self.latents(len(batch.images), batch.rng)
        fake = self.generate(latents)
        with torch.no_grad():
            inferred = self.reconstructor(batch.images)
        batch.shared["latents"], batch.shared["fake"] = latents, fake
        fake_logits = self._logits(latents, fake.detach())
        real_logits = self._logits(inferred, batch.images)
        total = softplus(-fake_logits).mean() + softplus(real_logits).mean()
        terms = {
            "fake_logit": fake_logits.mean(),
            "real_logit": real_logits.mean(),
            "inferred_std": inferred.float().std(0).mean(),  # 1 where the latents of the data are those of the prior
        }
        return genbench.Objective(total, terms)

    def generator_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Make (z, G(z)) look like (F(x), x), and recover z from G(z)."""
        latents, fake = batch.shared["latents"], batch.shared["fake"]
        game = self._logits(latents, fake).mean()
        error = mse_loss(self.reconstructor(fake).float(), latents)
        return genbench.Objective(game + self.loss.weight * error, {"game": game, "latent_error": error})

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` latents from N(0, 1), (count, latent_dim)."""
        return torch.randn(count, self.setup.latent_dim, generator=rng, device=self.setup.device)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return one image per latent."""
        images: Tensor = self.generator(latents)
        return images

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return `count` images generated from latents of the prior."""
        return self.generate(self.latents(count, rng))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Any:
        """Raise NotImplementedError: latents are reconstructed, not images."""
        raise NotImplementedError("veegan reconstructs latents, not images")

    def _logits(self, latents: Tensor, images: Tensor) -> Tensor:
        logits: Tensor = self.discriminator(latents, images).float()
        return logits
