"""The family `vamp` (Tomczak & Welling 2018): a VAE whose prior is the mean of the posteriors of pseudo-inputs.

A model's networks are `encoder(images) -> (mean, log_variance)`, (B, latent_dim) each, `decoder(latents) -> logits` of
images in [0, 1], and `pseudo_inputs() -> images (K, …)`, all trained together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import genbench
from genbench_autoencoders.bound import BoundLoss, kl_weight, log_normal
from genbench_autoencoders.latent_decoder import LatentDecoder, loss_network, require_loss
from genbench_autoencoders.vamp.prior import Mixture, rate


class Vamp(LatentDecoder):
    """One player: encoder, decoder and pseudo-inputs together."""

    def __init__(self, setup: genbench.Setup) -> None:
        super().__init__(setup)
        require_loss(setup, BoundLoss)
        self.loss: BoundLoss = setup.loss
        self.encoder = setup.networks["encoder"]
        self.pseudo_inputs = setup.networks["pseudo_inputs"]

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the single phase."""
        networks = ("encoder", "decoder", "pseudo_inputs", *loss_network(self.loss))
        return (genbench.Phase("autoencoder", networks, self.objective),)

    def objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Return the negative bound from one latent per image; the divergence has no closed form."""
        mean, variance = self._encode(batch.images)
        latents = mean + variance.sqrt() * self.noise(mean.shape, batch.rng)
        logits = self.decode(latents)
        prior = self.prior()
        with torch.autocast(batch.images.device.type, enabled=False):  # sums over pixels need fp32
            reconstruction = self.loss.likelihood.mean(batch.images, logits.float())
            kl = (log_normal(latents, mean, variance).sum(1) - prior.log_density(latents)).mean()
            weight = kl_weight(self.loss.options, batch.progress, kl.device)
        terms = {"reconstruction": reconstruction, "kl": kl, "beta": weight, **self.loss.likelihood.terms()}
        return genbench.Objective(reconstruction + weight * kl, terms)

    def prior(self) -> Mixture:
        """Return the posteriors of the pseudo-inputs as a mixture."""
        return Mixture(*self._encode(self.pseudo_inputs()))

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return `count` latents of the learned prior, (count, latent_dim)."""
        return self.prior().draw(count, rng)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the decoded posterior means of images."""
        return self.generate(self._encode(images)[0])

    @property
    def likelihood(self) -> genbench.Likelihood:
        """The likelihood p(x|z) of the loss."""
        return self.loss.likelihood.meaning

    def bound(
        self, images: Tensor, draws: int, rng: torch.Generator, labels: Tensor | None = None
    ) -> genbench.LikelihoodBound:
        """Return the log weights of `draws` latents per image; noise is drawn image by image."""
        with torch.autocast(images.device.type, enabled=False):
            mean, variance = self._encode(images)
            noise = torch.stack([self.noise((draws, mean.shape[1]), rng) for _ in images], 1)  # K × B × latent_dim
            latents = mean + variance.sqrt() * noise
            logits = self.decode(latents.flatten(0, 1))
            distortion = self.loss.likelihood.nll(images, logits).view(draws, len(images))
            prior = self.prior()
            log_prior = prior.log_density(latents.flatten(0, 1)).view(draws, len(images))
            log_ratios = log_normal(latents, mean, variance).sum(2) - log_prior
            divergence = rate(log_ratios, prior.largest_kl(mean, variance))
        return genbench.LikelihoodBound(-distortion - log_ratios, distortion.mean(0), divergence, mean)

    def _encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of q(z|x) in fp32."""
        mean, log_variance = self.encoder(images)
        return mean.float(), log_variance.float().exp()
