"""The family `factor-vae`: a VAE trained to have independent latents, as judged by a discriminator (Kim & Mnih 2018).

A model's networks are `encoder(images) -> (mean, log_variance)`, both (B, latent_dim), `decoder(latents) -> logits` of
images in [0, 1], and `discriminator(latents) -> logits` (B, 2) for joint and for independent latents.

Encoder and decoder train first, through a frozen discriminator; then the discriminator trains on detached latents, so
neither learns the other's objective. The paper draws a second batch of images for the independent latents, so that they
are not the same values in another order. Here each step draws one batch: all of it trains the encoder and the decoder,
and the discriminator learns to distinguish one half of it from the other half, permuted.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import genbench
from genbench_factor_vae.loss import (
    JOINT,
    PRODUCT,
    FactorLoss,
    discriminator_loss,
    kl_to_standard_normal,
    permute_latents,
    total_correlation,
)

_LEAST_BATCH = 4  # so that two are permuted


class FactorVAE:
    """Two phases: encoder and decoder together, then the discriminator of latents."""

    def __init__(self, setup: genbench.Setup) -> None:
        if not isinstance(setup.loss, FactorLoss):
            raise TypeError(f"a loss of the family factor-vae creates a FactorLoss, not {type(setup.loss).__name__}")
        model = setup.model
        if model.conditional or model.output != "logits" or model.prior != "normal":
            raise genbench.GenbenchError(
                f"Model '{model.name}' is conditional, returns no logits, or has a prior other than N(0, 1).",
                "The family factor-vae needs conditional=False, output='logits' and prior='normal'.",
            )
        self.setup = setup
        self.loss: FactorLoss = setup.loss
        self.encoder = setup.networks["encoder"]
        self.decoder = setup.networks["decoder"]
        self.discriminator = setup.networks["discriminator"]

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the phases of algorithm 2, in its order."""
        return (
            genbench.Phase(
                "autoencoder", ("encoder", "decoder"), self.autoencoder_objective, frozen=("discriminator",)
            ),
            genbench.Phase(
                "discriminator", ("discriminator",), self.discriminator_objective, recipe=self.loss.discriminator
            ),
        )

    def autoencoder_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Return reconstruction + KL + γ·TC."""
        mean, log_variance = self._encode(batch.images)
        latents = mean + (log_variance / 2).exp() * self._noise(mean.shape, batch.rng)
        logits: Tensor = self.decoder(latents)
        judged: Tensor = self.discriminator(latents)
        batch.shared["latents"] = latents.detach()
        with torch.autocast(batch.images.device.type, enabled=False):  # sums over pixels need fp32
            reconstruction = self.loss.nll(batch.images, logits.float()).mean()
            kl = kl_to_standard_normal(mean, log_variance).mean()
            tc = total_correlation(judged.float())
        return genbench.Objective(
            reconstruction + kl + self.loss.gamma * tc, {"reconstruction": reconstruction, "kl": kl, "tc": tc}
        )

    def discriminator_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Distinguish the latents of one half of the batch from the permuted latents of the other half."""
        latents: Tensor = batch.shared["latents"]
        if len(latents) < _LEAST_BATCH:
            raise genbench.GenbenchError(
                f"factor-vae permutes the latents of half a batch, and this one has {len(latents)} images.",
                f"Use --batch-size {_LEAST_BATCH} or more.",
            )
        half = len(latents) // 2
        product = permute_latents(latents[half:], batch.rng)
        judged: Tensor = self.discriminator(torch.cat([latents[:half], product])).float()
        joint, product = judged[:half], judged[half:]
        terms = {"accuracy_joint": _accuracy(joint, JOINT), "accuracy_product": _accuracy(product, PRODUCT)}
        return genbench.Objective(discriminator_loss(joint, product), terms)

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` latents of N(0, I), (count, latent_dim)."""
        return self._noise((count, self.setup.latent_dim), rng)

    def generate(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the decoded mean of each latent."""
        images: Tensor = self.decoder(latents).sigmoid()
        return images

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return the decoded means of `count` latents of N(0, I)."""
        return self.generate(self.latents(count, rng))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the decoded posterior means of images."""
        return self.generate(self._encode(images)[0])

    @property
    def likelihood(self) -> genbench.Likelihood:
        """The likelihood p(x|z) that the loss uses."""
        return self.loss.likelihood

    def bound(
        self, images: Tensor, draws: int, rng: torch.Generator, labels: Tensor | None = None
    ) -> genbench.LikelihoodBound:
        """Return the log weights of `draws` latents per image, and their parts; noise is drawn image by image."""
        with torch.autocast(images.device.type, enabled=False):
            mean, log_variance = self._encode(images)
            noise = torch.stack([self._noise((draws, mean.shape[1]), rng) for _ in images], 1)  # K × B × latent_dim
            latents = mean + (log_variance / 2).exp() * noise
            logits = self.decoder(latents.flatten(0, 1))
            distortion = self.loss.nll(images.repeat(draws, 1, 1, 1), logits).view(draws, len(images))
            # log p(z) - log q(z|x): the constants cancel, and (z - μ) / σ is the noise
            log_ratio = 0.5 * (noise.square() + log_variance - latents.square()).sum(2)
        rate = kl_to_standard_normal(mean, log_variance)
        return genbench.LikelihoodBound(log_ratio - distortion, distortion.mean(0), rate, mean)

    def _encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.encoder(images)
        return mean.float(), log_variance.float()

    def _noise(self, shape: Sequence[int], rng: torch.Generator) -> Tensor:
        return torch.randn(tuple(shape), generator=rng, device=self.setup.device)


def _accuracy(judged: Tensor, right: int) -> Tensor:
    return (judged.argmax(1) == right).mean(dtype=torch.float32)
