"""The family `ladder` (Sønderby et al. 2016): a VAE with several levels of latents.

A model's networks are `encoder(images) -> evidence`, a mean and a variance for each level, the lowest first, and
`decoder(noise[, evidence]) -> (logits, levels)`, where noise is (B, sum of all levels) of N(0, 1), and each level holds
its latents, their prior p(z_i|z_{i+1}) and the distribution they were drawn from; without evidence, that is the prior.

The noise of all levels is what `latents` returns: the same noise gives the same image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import genbench
from genbench_autoencoders.bound import kl_between_normals, kl_weight, log_normal
from genbench_autoencoders.ladder.loss import LadderLoss, charged_kl
from genbench_autoencoders.ladder.networks import Gaussian, Level
from genbench_autoencoders.latent_decoder import LatentDecoder, loss_network, require_loss


class Ladder(LatentDecoder):
    """One player: encoder and decoder together."""

    def __init__(self, setup: genbench.Setup) -> None:
        super().__init__(setup)
        require_loss(setup, LadderLoss)
        self.loss: LadderLoss = setup.loss
        self.encoder = setup.networks["encoder"]
        self.total = sum(self.decoder.sizes)  # type: ignore[arg-type]

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the single phase."""
        return (genbench.Phase("autoencoder", ("encoder", "decoder", *loss_network(self.loss)), self.objective),)

    def objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Return the negative bound, with the KL of each level in closed form given the latents of the one above."""
        options = self.loss.options
        noise = self.noise((len(batch.images), self.total), batch.rng)
        logits, levels = self.decoder(noise, self.encoder(batch.images))
        with torch.autocast(batch.images.device.type, enabled=False):  # sums over pixels need fp32
            reconstruction = self.loss.likelihood.mean(batch.images, logits.float())
            per_level = torch.stack([_kl(level).mean() for level in levels])
            weight = kl_weight(options, batch.progress, per_level.device)
            total = reconstruction + weight * charged_kl(per_level, options.free_bits)
        terms = {"reconstruction": reconstruction, "kl": per_level.sum(), "beta": weight}
        terms |= {f"kl_{number}": kl for number, kl in enumerate(per_level, 1)}
        return genbench.Objective(total, {**terms, **self.loss.likelihood.terms()})

    def latents(self, count: int, rng: torch.Generator) -> Tensor:
        """Return the noise of all levels, (count, sum of all levels)."""
        return self.noise((count, self.total), rng)

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the logits of images drawn from the prior with this noise."""
        logits: Tensor = self.decoder(latents)[0]
        return logits

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the decoded posterior means of images, level by level."""
        noise = torch.zeros(len(images), self.total, device=images.device)
        logits: Tensor = self.decoder(noise, self.encoder(images))[0]
        return logits.sigmoid()

    @property
    def likelihood(self) -> genbench.Likelihood:
        """The likelihood p(x|z_1) of the loss."""
        return self.loss.likelihood.meaning

    def bound(
        self, images: Tensor, draws: int, rng: torch.Generator, labels: Tensor | None = None
    ) -> genbench.LikelihoodBound:
        """Return the log weights of `draws` latents of all levels per image; noise is drawn image by image.

        `rate` is the mean over the draws of the sum of the levels' KL, each in closed form; `mean` has the posterior
        means of all levels, averaged over the draws.
        """
        with torch.autocast(images.device.type, enabled=False):
            noise = torch.stack([self.noise((draws, self.total), rng) for _ in images], 1).flatten(0, 1)
            evidence = [Gaussian(*(part.repeat(draws, 1) for part in level)) for level in self.encoder(images)]
            logits, levels = self.decoder(noise, evidence)
            shape = (draws, len(images))
            distortion = self.loss.likelihood.nll(images, logits).view(shape)
            log_ratio = sum((_log_ratio(level) for level in levels), torch.zeros(())).view(shape)
            divergence = sum((_kl(level) for level in levels), torch.zeros(())).view(shape).mean(0)
            mean = torch.cat([level.posterior.mean for level in levels], 1).view(*shape, -1).mean(0)
        return genbench.LikelihoodBound(log_ratio - distortion, distortion.mean(0), divergence, mean)


def _kl(level: Level) -> Tensor:
    """KL(q(z_i|z_{i+1}, x) ‖ p(z_i|z_{i+1})) of each image, (B,)."""
    return kl_between_normals(*level.posterior, *level.prior).sum(1)


def _log_ratio(level: Level) -> Tensor:
    """log p(z_i|z_{i+1}) - log q(z_i|z_{i+1}, x) of each image, (B,)."""
    return (log_normal(level.latents, *level.prior) - log_normal(level.latents, *level.posterior)).sum(1)
