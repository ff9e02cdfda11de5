"""The family `vae-gan`: a VAE whose reconstructions are compared by features of a discriminator (Larsen et al. 2016).

A model's networks are `encoder(images) -> (mean, log_variance)`, both (B, latent_dim), `decoder(latents) -> images`,
and `discriminator(images) -> (logits (B,) or (B, 1), features (B, …))`.

The three objectives of algorithm 1 are functions of one forward pass, so the phases share it: the first computes it,
and each network gets the gradient of its own objective alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import genbench
from genbench_autoencoders.vae_gan.loss import (
    LearnedSimilarity,
    decoder_game,
    discriminator_loss,
    feature_distance,
    kl_to_standard_normal,
)

_PASS = "pass"  # what the phases share: the name of the group, and of the result in `batch.shared`


@dataclass(frozen=True)
class Forward:
    """What the objectives need of one forward pass, with its graph."""

    kl: Tensor
    similarity: Tensor  # ½ E ‖f(x) - f(x̃)‖²
    real: Tensor  # logits of the images, (B,)
    reconstructed: Tensor  # of their reconstructions
    sampled: Tensor  # of images of the prior


class VAEGAN:
    """Three phases from one pass: encoder, decoder, discriminator."""

    joint = _PASS

    def __init__(self, setup: genbench.Setup) -> None:
        if not isinstance(setup.loss, LearnedSimilarity):
            raise TypeError(f"a loss of the family vae-gan is a LearnedSimilarity, not {type(setup.loss).__name__}")
        model = setup.model
        if model.conditional or model.output != "images" or model.prior != "normal":
            raise genbench.GenbenchError(
                f"Model '{model.name}' is conditional, returns logits, or has a prior other than N(0, 1).",
                "The family vae-gan needs conditional=False, output='images' and prior='normal'.",
            )
        self.setup = setup
        self.loss: LearnedSimilarity = setup.loss
        self.encoder = setup.networks["encoder"]
        self.decoder = setup.networks["decoder"]
        self.discriminator = setup.networks["discriminator"]

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the three updates of algorithm 1."""
        return (
            genbench.Phase("encoder", ("encoder",), self.encoder_objective, joint=self.joint),
            genbench.Phase("decoder", ("decoder",), self.decoder_objective, joint=self.joint),
            genbench.Phase("discriminator", ("discriminator",), self.discriminator_objective, joint=self.joint),
        )

    def encoder_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Return KL + S; the pass is made here."""
        made = batch.shared[_PASS] = self.forward(batch)
        return genbench.Objective(made.kl + made.similarity, {"kl": made.kl, "similarity": made.similarity})

    def decoder_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Return γ S and the decoder's side of the game."""
        made: Forward = batch.shared[_PASS]
        game = decoder_game(made.reconstructed, made.sampled)
        return genbench.Objective(self.loss.gamma * made.similarity + game, {"game": game})

    def discriminator_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Distinguish images from reconstructions and from images of the prior."""
        made: Forward = batch.shared[_PASS]
        terms = {
            "accuracy_real": (made.real > 0).mean(dtype=torch.float32),
            "accuracy_fake": (made.sampled < 0).mean(dtype=torch.float32),
        }
        return genbench.Objective(discriminator_loss(made.real, made.reconstructed, made.sampled), terms)

    def forward(self, batch: genbench.Batch) -> Forward:
        """Reconstruct the images, sample as many from the prior, and judge all three."""
        mean, log_variance = self._encode(batch.images)
        latents = mean + (log_variance / 2).exp() * self._noise(mean.shape, batch.rng)
        reconstructions = self.decoder(latents)
        samples = self.decoder(self._noise(mean.shape, batch.rng))
        real, features = self._judge(batch.images)
        reconstructed, found = self._judge(reconstructions)
        sampled, _ = self._judge(samples)
        with torch.autocast(batch.images.device.type, enabled=False):  # sums over features need fp32
            similarity = feature_distance(features, found)
            return Forward(kl_to_standard_normal(mean, log_variance), similarity, real, reconstructed, sampled)

    def check_networks(self, images: Tensor, labels: Tensor | None = None) -> None:
        """Raise `genbench.SpecError` if the discriminator does not return logits and features of each image."""
        found = self.discriminator(images)
        pair = isinstance(found, tuple | list) and len(found) == 2
        if not pair or found[0].numel() != len(images) or found[1].ndim < 2 or len(found[1]) != len(images):
            shapes = [tuple(part.shape) for part in found] if isinstance(found, tuple | list) else tuple(found.shape)
            raise genbench.SpecError(
                f"The network 'discriminator' of the model '{self.setup.model.name}' returned {shapes} instead of "
                f"logits ({len(images)},) or ({len(images)}, 1) and features ({len(images)}, …).",
                "Return both as a pair.",
            )

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` latents of N(0, I), (count, latent_dim)."""
        return self._noise((count, self.setup.latent_dim), rng)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the image of each latent."""
        images: Tensor = self.decoder(latents)
        return images

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return the images of `count` latents of N(0, I)."""
        return self.generate(self.latents(count, rng))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the images of the posterior means."""
        return self.generate(self._encode(images)[0])

    def _encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(images)
        return mean.float(), log_variance.float()

    def _judge(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B,) and features (B, …) in fp32."""
        logits, features = self.discriminator(images)
        return logits.float().flatten(), features.float()

    def _noise(self, shape: Sequence[int], rng: torch.Generator) -> Tensor:
        return torch.randn(tuple(shape), generator=rng, device=self.setup.device)
