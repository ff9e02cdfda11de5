"""The family `vq-vae-2` (Razavi et al. 2019): an autoencoder over two grids of codes, and a prior for each grid.

A model's networks are

    bottom_encoder(images) -> features (B, w, s, s)
    top_encoder(features) -> encodings (B, D, t, t)
    conditional_encoder(top vectors, features) -> encodings (B, D, s, s)
    top_codebook, bottom_codebook: (encodings) -> (vectors, codes), with `size` and `look_up(codes)`
    decoder(top vectors, bottom vectors) -> logits of images in [0, 1]
    top_prior(codes[, labels]) -> logits (B, K, t, t), with `draw(count, rng, labels)`
    bottom_prior(codes, top codes[, labels]) -> logits (B, K, s, s), with `draw(top codes, rng, labels)`

As in the built-in `vector-quantised`, autoencoder and priors are trained in each step, with no gradient from the priors
through the codes. The codes of an image are certain, so -log p(x|codes) - log p(codes) is a bound on -log p(x) without
noise: q(z|x) has no entropy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor

import genbench
from genbench_autoencoders.latent_decoder import loss_network, require_loss
from genbench_autoencoders.vq_vae_2.loss import VQ2Loss, code_nll, distance, perplexity, straight_through
from genbench_autoencoders.vq_vae_2.networks import BottomPrior, TopPrior

_AUTOENCODER = ("bottom_encoder", "top_encoder", "top_codebook", "conditional_encoder", "bottom_codebook", "decoder")


class Quantised(NamedTuple):
    """Encodings of one level, the code vectors nearest to them, and their indices."""

    encoded: Tensor  # (B, D, h, w), fp32
    vectors: Tensor  # (B, D, h, w)
    codes: Tensor  # int64, (B, h, w)


class VQVAE2:
    """Three players that share only codes: the autoencoder and two priors."""

    def __init__(self, setup: genbench.Setup) -> None:
        require_loss(setup, VQ2Loss)
        self.loss: VQ2Loss = setup.loss
        self.networks = setup.networks
        self.decoder = setup.networks["decoder"]
        self.top_codebook = cast("genbench.Codebook", setup.networks["top_codebook"])
        self.bottom_codebook = cast("genbench.Codebook", setup.networks["bottom_codebook"])
        self.top_prior = cast("TopPrior", setup.networks["top_prior"])
        self.bottom_prior = cast("BottomPrior", setup.networks["bottom_prior"])

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the phases of the autoencoder and of both priors."""
        return (
            genbench.Phase("autoencoder", (*_AUTOENCODER, *loss_network(self.loss)), self.autoencoder_objective),
            genbench.Phase("top_prior", ("top_prior",), self.top_prior_objective),
            genbench.Phase("bottom_prior", ("bottom_prior",), self.bottom_prior_objective),
        )

    def autoencoder_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Encode both levels, decode their code vectors, and evaluate the loss (algorithm 1)."""
        top, bottom = self.quantise(batch.images)
        batch.shared["codes"] = top.codes, bottom.codes
        logits = self.decoder(*(straight_through(level.encoded, level.vectors) for level in (top, bottom)))
        with torch.autocast(batch.images.device.type, enabled=False):  # sums over pixels need fp32
            reconstruction = self.loss.likelihood.mean(batch.images, logits.float())
            levels = (top, bottom)
            codebook = sum((distance(one.encoded.detach(), one.vectors) for one in levels), torch.zeros(()))
            commitment = sum((distance(one.encoded, one.vectors.detach()) for one in levels), torch.zeros(()))
            terms = {
                "reconstruction": reconstruction,
                "codebook": codebook,
                "commitment": commitment,
                "top_perplexity": perplexity(top.codes, self.top_codebook.size),
                "bottom_perplexity": perplexity(bottom.codes, self.bottom_codebook.size),
                **self.loss.likelihood.terms(),
            }
        return genbench.Objective(reconstruction + codebook + self.loss.commitment * commitment, terms)

    def top_prior_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Predict each top code from the preceding ones."""
        top, _ = batch.shared["codes"]
        return genbench.Objective(code_nll(self.top_prior(top, batch.labels).float(), top).mean(), {})

    def bottom_prior_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Predict each bottom code from the preceding ones and the top codes."""
        top, bottom = batch.shared["codes"]
        return genbench.Objective(code_nll(self.bottom_prior(bottom, top, batch.labels).float(), bottom).mean(), {})

    def quantise(self, images: Tensor) -> tuple[Quantised, Quantised]:
        """Return both levels; the bottom one is encoded given the code vectors of the top one."""
        features = self.networks["bottom_encoder"](images)
        top = self._look_up("top_codebook", self.networks["top_encoder"](features))
        given = straight_through(top.encoded, top.vectors)
        return top, self._look_up("bottom_codebook", self.networks["conditional_encoder"](given, features))

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return the decoded means of codes drawn from the top prior, then from the bottom one (algorithm 2)."""
        top = self.top_prior.draw(count, rng, labels)
        bottom = self.bottom_prior.draw(top, rng, labels)
        vectors = self.top_codebook.look_up(top), self.bottom_codebook.look_up(bottom)
        images: Tensor = self.decoder(*vectors).sigmoid()
        return images

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the decoded means of the images' own codes."""
        top, bottom = self.quantise(images)
        found: Tensor = self.decoder(top.vectors, bottom.vectors).sigmoid()
        return found

    @property
    def likelihood(self) -> genbench.Likelihood:
        """The likelihood p(x|codes) of the loss."""
        return self.loss.likelihood.meaning

    def bound(
        self, images: Tensor, draws: int, rng: torch.Generator, labels: Tensor | None = None
    ) -> genbench.LikelihoodBound:
        """Return -log p(x|codes) and -log p(codes); there is nothing to draw, so all log weights of an image are equal.

        `mean` holds the code vectors of both levels.
        """
        with torch.autocast(images.device.type, enabled=False):
            top, bottom = self.quantise(images)
            distortion = self.loss.likelihood.nll(images, self.decoder(top.vectors, bottom.vectors))
            rate = code_nll(self.top_prior(top.codes, labels), top.codes)
            rate = rate + code_nll(self.bottom_prior(bottom.codes, top.codes, labels), bottom.codes)
        mean = torch.cat([top.vectors.flatten(1), bottom.vectors.flatten(1)], 1)
        return genbench.LikelihoodBound(-(distortion + rate).expand(draws, -1), distortion, rate, mean)

    def _look_up(self, codebook: str, encoded: Tensor) -> Quantised:
        with torch.autocast(encoded.device.type, enabled=False):  # distances need fp32
            encoded = encoded.float()
            vectors, codes = self.networks[codebook](encoded)
        return Quantised(encoded, vectors, codes)
