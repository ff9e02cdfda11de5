"""The variational family: an encoder and a decoder learn a bound on the likelihood of the images.

A model's networks are `encoder(images) -> (mean, log_variance)`, both (B, latent_dim), and `decoder(latents) -> images`
(or logits of them, where the model says output="logits"). Conditional networks take labels (B,) as a last argument.

Kingma & Welling 2014, "Auto-Encoding Variational Bayes"; latents are drawn as mean + exp(log_variance / 2) · noise.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import genbench
from genbench.builtin.families.latents import draw_latents

_PAIR = (tuple, list)
_EDGE = 1e-6  # images in [0, 1] are kept this far from its ends before their logits are taken


class Variational:
    """One player: encoder and decoder together."""

    def __init__(self, setup: genbench.Setup) -> None:
        if not isinstance(setup.loss, genbench.VariationalLoss):
            raise TypeError(f"a variational loss creates a VariationalLoss, not {type(setup.loss).__name__}")
        self.setup = setup
        self.loss: genbench.VariationalLoss = setup.loss
        self.encoder = setup.networks["encoder"]
        self.decoder = setup.networks["decoder"]
        self.conditional = setup.model.conditional
        self.gives_logits = setup.model.output == "logits"
        self.in_unit_range = setup.model.value_range == (0.0, 1.0)
        self.mixed_precision = setup.recipe["precision"] != "fp32"

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the single phase."""
        return (genbench.Phase("autoencoder", ("encoder", "decoder"), self.objective),)

    def objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Encode, draw latents, decode, and ask the loss."""
        mean, log_variance = self._encode(batch.images, batch.labels)
        noise = torch.randn(mean.shape, generator=batch.rng, device=self.setup.device)
        latents = mean + (log_variance / 2).exp() * noise
        decoded = self._decode(latents, batch.labels)
        if not self.mixed_precision:
            return self._ask_loss(batch.images, decoded, mean, log_variance, latents)
        with torch.autocast(batch.images.device.type, enabled=False):  # sums over pixels need fp32
            return self._ask_loss(batch.images, decoded.float(), mean, log_variance, latents)

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return the decoded means of `count` latents of the prior."""
        return self._to_images(self._decode(draw_latents(self.setup, count, rng), labels))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the decoded posterior means of images."""
        mean, _ = self._encode(images, labels)
        return self._to_images(self._decode(mean, labels))

    def _ask_loss(
        self, images: Tensor, decoded: Tensor, mean: Tensor, log_variance: Tensor, latents: Tensor
    ) -> genbench.Objective:
        return self.loss.objective(
            genbench.Posterior(self._unit(images), self._to_logits(decoded), mean, log_variance, latents)
        )

    def _encode(self, images: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        encoded = self.encoder(images, labels) if self.conditional else self.encoder(images)
        if not isinstance(encoded, _PAIR) or len(encoded) != 2:
            raise TypeError(f"the encoder of '{self.setup.model.name}' must return (mean, log_variance)")
        mean, log_variance = encoded
        return (mean.float(), log_variance.float()) if self.mixed_precision else (mean, log_variance)

    def _decode(self, latents: Tensor, labels: Tensor | None) -> Tensor:
        decoded: Tensor = self.decoder(latents, labels) if self.conditional else self.decoder(latents)
        return decoded

    def _unit(self, images: Tensor) -> Tensor:
        """Map the model's value range to [0, 1]."""
        if self.in_unit_range:
            return images
        low, high = self.setup.model.value_range
        return (images - low) / (high - low)

    def _to_images(self, decoded: Tensor) -> Tensor:
        return decoded.sigmoid() if self.gives_logits else decoded

    def _to_logits(self, decoded: Tensor) -> Tensor:
        if self.gives_logits:
            return decoded
        return self._unit(decoded).clamp(_EDGE, 1 - _EDGE).logit()
