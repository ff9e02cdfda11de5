"""The family `regularised` (Ghosh et al. 2020): an autoencoder without noise, and a density of its codes.

A model's networks are `encoder(images) -> codes (B, latent_dim)`, `decoder(codes) -> logits` of images in [0, 1], and
`density`, which follows the codes (`observe(codes)`) and draws new ones (`draw(count, rng)`,
`draw_gaussian(count, rng)`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor

import genbench
from genbench_autoencoders.latent_decoder import LatentDecoder, loss_network, require_loss
from genbench_autoencoders.rae.loss import RAELoss, code_term, jacobian_term, weight_term


class Density(Protocol):
    """The network `density`."""

    def observe(self, codes: Tensor) -> None:
        """Follow the codes (B, latent_dim) of a batch."""

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Return codes (count, latent_dim) of the mixture."""

    def draw_gaussian(self, count: int, rng: torch.Generator) -> Tensor:
        """Return codes (count, latent_dim) of the Gaussian."""


class Regularised(LatentDecoder):
    """One player: encoder and decoder together."""

    def __init__(self, setup: genbench.Setup) -> None:
        super().__init__(setup)
        require_loss(setup, RAELoss)
        self.loss: RAELoss = setup.loss
        self.encoder = setup.networks["encoder"]
        self.density = cast("Density", setup.networks["density"])

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the single phase."""
        networks = ("encoder", "decoder", *loss_network(self.loss))
        return (genbench.Phase("autoencoder", networks, self.objective),)

    def objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Return reconstruction + β ½|z|² + λ R, and let the density follow the codes."""
        codes: Tensor = self.encoder(batch.images)
        logits = self.decode(codes)
        self.density.observe(codes.detach())
        options = self.loss.options
        with torch.autocast(batch.images.device.type, enabled=False):  # sums over pixels need fp32
            reconstruction = self.loss.likelihood.mean(batch.images, logits.float())
            size = code_term(codes.float())
            terms = {"reconstruction": reconstruction, "codes": size, **self.loss.likelihood.terms()}
            total = reconstruction + options.beta * size
            if options.regulariser == "l2":
                terms["regulariser"] = weight_term(self.decoder.parameters())
            elif options.regulariser == "gradient":
                terms["regulariser"] = jacobian_term(
                    logits.float().sigmoid(), codes, self.noise(logits.shape, batch.rng)
                )
        if "regulariser" in terms:
            total = total + options.weight * terms["regulariser"]
        return genbench.Objective(total, terms)

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` codes of the mixture, (count, latent_dim)."""
        return self.density.draw(count, rng)

    def sample_with(
        self, sampler: genbench.Sampler, count: int, rng: torch.Generator, labels: Tensor | None = None
    ) -> Tensor:
        """Return the decoded means of codes of one Gaussian, or of N(0, I)."""
        codes = self.density.draw_gaussian(count, rng) if sampler.name == "gaussian" else super().latents(count, rng)
        return self.generate(codes)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the decoded codes of images."""
        return self.generate(self.encoder(images))
