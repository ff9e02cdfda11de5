"""The family `adversarial-autoencoder` (Makhzani et al. 2015).

A model's networks are `encoder(images) -> codes (B, latent_dim)`, `decoder(codes) -> logits` of images in [0, 1], and
`latent_discriminator(codes) -> logits (B, 1)`; all receive labels (B,) as a last argument if the model is conditional.

Each batch is used three times, with an optimiser each (section 2): encoder and decoder learn to reconstruct, the
discriminator to tell codes from draws of N(0, I), and the encoder to prevent that.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import genbench
from genbench_autoencoders.adversarial.loss import AdversarialAutoencoderLoss, discriminator_loss, encoder_loss
from genbench_autoencoders.latent_decoder import LatentDecoder, loss_network, require_loss


class AdversarialAutoencoder(LatentDecoder):
    """Three phases: autoencoder, discriminator, encoder."""

    def __init__(self, setup: genbench.Setup) -> None:
        super().__init__(setup)
        require_loss(setup, AdversarialAutoencoderLoss)
        self.loss: AdversarialAutoencoderLoss = setup.loss
        self.encoder = setup.networks["encoder"]
        self.discriminator = setup.networks["latent_discriminator"]

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the reconstruction phase and the two of the regularisation phase."""
        autoencoder = ("encoder", "decoder", *loss_network(self.loss))
        judge = "latent_discriminator"
        return (
            genbench.Phase("autoencoder", autoencoder, self.autoencoder_objective),
            genbench.Phase("discriminator", (judge,), self.discriminator_objective, frozen=("encoder",)),
            genbench.Phase("encoder", ("encoder",), self.encoder_objective, frozen=(judge,)),
        )

    def autoencoder_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Return -log p(x|E(x))."""
        logits = self.decode(self.encode(batch.images, batch.labels), batch.labels)
        with torch.autocast(batch.images.device.type, enabled=False):  # sums over pixels need fp32
            reconstruction = self.loss.likelihood.mean(batch.images, logits.float())
            terms = {"reconstruction": reconstruction, **self.loss.likelihood.terms()}
        return genbench.Objective(reconstruction, terms)

    def discriminator_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Distinguish codes from draws of the prior."""
        with torch.no_grad():
            codes = self.encode(batch.images, batch.labels)
        prior = self.judge(self.latents(len(codes), batch.rng), batch.labels)
        encoded = self.judge(codes, batch.labels)
        terms = {
            "accuracy_prior": (prior > 0).mean(dtype=torch.float32),
            "accuracy_encoded": (encoded < 0).mean(dtype=torch.float32),
        }
        return genbench.Objective(discriminator_loss(prior, encoded), terms)

    def encoder_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Let the discriminator take codes for draws of the prior."""
        codes = self.encode(batch.images, batch.labels)
        return genbench.Objective(encoder_loss(self.judge(codes, batch.labels)), {})

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the decoded codes of images."""
        return self.generate(self.encode(images, labels), labels)

    def encode(self, images: Tensor, labels: Tensor | None) -> Tensor:
        """Return the codes (B, latent_dim) of images."""
        return self._call(self.encoder, images, labels)

    def judge(self, codes: Tensor, labels: Tensor | None) -> Tensor:
        """Return logits (B,) in fp32."""
        return self._call(self.discriminator, codes, labels).float().flatten()

    def _call(self, network: torch.nn.Module, values: Tensor, labels: Tensor | None) -> Tensor:
        found: Tensor = network(values, labels) if self.setup.model.conditional else network(values)
        return found
