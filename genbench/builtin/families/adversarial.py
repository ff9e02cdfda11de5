"""The adversarial family: a generator learns to make images that a discriminator takes for real.

A model's networks are `generator(latents) -> images` with latents (B, latent_dim), and
`discriminator(images) -> logits` (B,) or (B, 1, …). Conditional networks take labels (B,) as a last argument.

Goodfellow et al. 2014, "Generative Adversarial Nets", algorithm 1, with logits in place of probabilities. The
discriminator and the generator learn from the same fakes: one generator pass per step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import genbench
from genbench.builtin.families.latents import draw_latents


class Adversarial:
    """Two players: the discriminator's update, then the generator's on the same fakes."""

    def __init__(self, setup: genbench.Setup) -> None:
        if not isinstance(setup.loss, genbench.AdversarialLoss):
            raise TypeError(f"an adversarial loss creates an AdversarialLoss, not {type(setup.loss).__name__}")
        self.setup = setup
        self.loss: genbench.AdversarialLoss = setup.loss
        self.generator = setup.networks["generator"]
        self.discriminator = setup.networks["discriminator"]
        self.conditional = setup.model.conditional
        self.gives_logits = setup.model.output == "logits"

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the discriminator's phase, repeated as the recipe says, and the generator's."""
        repeats = self.setup.recipe["discriminator_steps"]
        assert isinstance(repeats, int)
        return (
            genbench.Phase("discriminator", ("discriminator",), self.discriminator_objective, repeats=repeats),
            genbench.Phase("generator", ("generator",), self.generator_objective, frozen=("discriminator",)),
        )

    def discriminator_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Tell real from fake images."""
        latents = draw_latents(self.setup, len(batch.images), batch.rng)
        # Only the last fakes of a step are kept for the generator, so only they need its graph.
        with torch.set_grad_enabled(batch.last):
            fake = self._generate(latents, batch.labels)
        batch.shared["fake"] = fake
        detached = fake.detach()
        real_logits = self._logits(batch.images, batch.labels)
        fake_logits = self._logits(detached, batch.labels)
        loss = self.loss.discriminator(real_logits, fake_logits)
        terms = {
            "real_logit": real_logits.mean(),
            "fake_logit": fake_logits.mean(),
        }
        if self.loss.penalty is None:
            return genbench.Objective(loss, terms)
        with torch.autocast(batch.images.device.type, enabled=False):  # penalties need fp32
            penalty = self.loss.penalty(
                lambda images: self._logits(images, batch.labels), batch.images, detached.float(), batch.rng
            )
        return genbench.Objective(loss + penalty, {**terms, "penalty": penalty})

    def generator_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Make the discriminator, which is frozen here, take fakes for real images."""
        fake_logits = self._logits(batch.shared["fake"], batch.labels)
        real_logits = self._logits(batch.images, batch.labels) if self.loss.relativistic else None
        return genbench.Objective(self.loss.generator(fake_logits, real_logits), {})

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return `count` images made from latents of the prior."""
        return self._generate(draw_latents(self.setup, count, rng), labels)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Raise: a generator has no way back from images."""
        raise NotImplementedError("adversarial models do not reconstruct")

    def _generate(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        images: Tensor = self.generator(latents, labels) if self.conditional else self.generator(latents)
        return images.sigmoid() if self.gives_logits else images

    def _logits(self, images: Tensor, labels: Tensor | None) -> Tensor:
        logits: Tensor = self.discriminator(images, labels) if self.conditional else self.discriminator(images)
        return logits.float().flatten()
