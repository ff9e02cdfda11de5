"""The family `bigan`: an encoder and a generator whose pairs (x, E(x)) and (G(z), z) cannot be told apart.

A model's networks are `encoder(images) -> (mean, log_variance)`, (B, latent_dim) each, where None as the log variance
is an encoder without noise; `generator(latents) -> images`; and
`joint_discriminator(images, latents) -> logits (B, 1)`.

Dumoulin et al. 2017 (ALI) and Donahue et al. 2017 (BiGAN). Both updates are functions of one forward pass (algorithm 1
of ALI), so the phases share it, and each network gets the gradient of its own objective alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

import genbench
from genbench_autoencoders.bigan.loss import JointGame, discriminator_loss, players_loss
from genbench_autoencoders.latent_decoder import require_loss

_PASS = "pass"  # what the phases share: the name of the group, and of the result in `batch.shared`


class Judged(NamedTuple):
    """Logits (B,) of both kinds of pairs, with their graph."""

    encoded: Tensor  # D(x, E(x))
    generated: Tensor  # D(G(z), z)


class BiGAN:
    """Two phases from one pass: the discriminator, and encoder and generator together."""

    def __init__(self, setup: genbench.Setup) -> None:
        require_loss(setup, JointGame)
        if setup.model.conditional or setup.model.output != "images" or setup.model.prior != "normal":
            raise genbench.GenbenchError(
                f"Model '{setup.model.name}' is conditional, returns logits, or has a prior other than N(0, 1).",
                "The family bigan needs conditional=False, output='images' and prior='normal'.",
            )
        self.setup = setup
        self.encoder = setup.networks["encoder"]
        self.generator = setup.networks["generator"]
        self.discriminator = setup.networks["joint_discriminator"]

    def phases(self) -> Sequence[genbench.Phase]:
        """Return both updates."""
        judge, players = ("joint_discriminator",), ("encoder", "generator")
        return (
            genbench.Phase("discriminator", judge, self.discriminator_objective, joint=_PASS),
            genbench.Phase("players", players, self.players_objective, joint=_PASS),
        )

    def discriminator_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Distinguish the pairs; the pass is made here."""
        made = batch.shared[_PASS] = self.judge_pairs(batch)
        terms = {
            "accuracy_encoded": (made.encoded > 0).mean(dtype=torch.float32),
            "accuracy_generated": (made.generated < 0).mean(dtype=torch.float32),
        }
        return genbench.Objective(discriminator_loss(*made), terms)

    def players_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Exchange the two kinds of pairs."""
        return genbench.Objective(players_loss(*batch.shared[_PASS]), {})

    def judge_pairs(self, batch: genbench.Batch) -> Judged:
        """Encode the images, generate as many, and judge all pairs."""
        mean, log_variance = self.encoder(batch.images)
        codes = mean.float()
        if log_variance is not None:
            codes = codes + (log_variance.float() / 2).exp() * torch.randn(
                codes.shape, generator=batch.rng, device=codes.device
            )
        latents = self.latents(len(codes), batch.rng)
        generated = self.generator(latents)
        pairs = torch.cat([batch.images, generated]), torch.cat([codes, latents])
        encoded, drawn = self.discriminator(*pairs).float().flatten().chunk(2)
        return Judged(encoded, drawn)

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` latents of N(0, I), (count, latent_dim)."""
        return torch.randn((count, self.setup.latent_dim), generator=rng, device=self.setup.device)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the image of each latent."""
        images: Tensor = self.generator(latents)
        return images

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return the images of `count` latents."""
        return self.generate(self.latents(count, rng))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return G(E(x)), of the mean of an encoder with noise."""
        mean, _ = self.encoder(images)
        return self.generate(mean)
