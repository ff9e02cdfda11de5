"""The vector-quantised family: an autoencoder over a grid of discrete codes, and a prior over such grids.

A model's networks are

    encoder(images) -> encodings (B, D, h, w)
    codebook(encodings) -> (vectors (B, D, h, w), codes int64 (B, h, w)), the nearest code vector of each encoding;
        `codebook.size` is their number K, and `codebook.look_up(codes)` returns vectors
    decoder(vectors) -> images, or their logits where the model has output="logits"
    prior(codes) -> logits (B, K, h, w) of each code given the preceding ones in row order;
        `prior.draw(count, rng)` returns codes (count, h, w) drawn from it one by one

van den Oord et al. 2017, "Neural Discrete Representation Learning". The paper trains the prior after the autoencoder;
here both are trained in each step, with no gradient from the prior through the codes, so that one budget of images
covers both and a model can be sampled at any time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

import torch
from torch import Tensor

import genbench
from genbench.builtin.families.decoded import Decoded
from genbench.builtin.families.scheduled_networks import follow_schedule, scheduled_networks
from genbench.builtin.losses.vector_quantised.quantisation import Quantisation, VectorQuantisedLoss, prior_term


class Codebook(Protocol):
    """The network `codebook`."""

    size: int

    def __call__(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest code vectors and their indices."""

    def look_up(self, codes: Tensor) -> Tensor:
        """Return the code vectors (B, D, h, w) of codes (B, h, w)."""


class Prior(Protocol):
    """The network `prior`."""

    def __call__(self, codes: Tensor) -> Tensor:
        """Return logits (B, K, h, w) of codes (B, h, w), each given the preceding ones."""

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Return codes (count, h, w)."""


class VectorQuantised:
    """Two players that share only the codes: the autoencoder, and the prior over its codes."""

    def __init__(self, setup: genbench.Setup) -> None:
        if not isinstance(setup.loss, VectorQuantisedLoss):
            raise TypeError(
                f"a vector-quantised loss must create a VectorQuantisedLoss, not {type(setup.loss).__name__}"
            )
        if setup.model.conditional:
            raise genbench.GenbenchError(
                f"Model '{setup.model.name}' is conditional, but the family vector-quantised is not.",
                "Set conditional=False in its spec.",
            )
        self.loss: VectorQuantisedLoss = setup.loss
        self.encoder = setup.networks["encoder"]
        self.codebook = cast("Codebook", setup.networks["codebook"])
        self.decoder = setup.networks["decoder"]
        self.prior = cast("Prior", setup.networks["prior"])
        self.decoded = Decoded(setup.model)
        self.scheduled = scheduled_networks(setup)

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the phases of the autoencoder and of the prior."""
        autoencoder = ("encoder", "codebook", "decoder", *(() if self.loss.module is None else ("loss",)))
        return (
            genbench.Phase("autoencoder", autoencoder, self.autoencoder_objective),
            genbench.Phase("prior", ("prior",), self.prior_objective),
        )

    def autoencoder_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Encode, look up the nearest code vectors, decode, and evaluate the loss.

        The decoder's gradient passes straight through to the encoder, as if the encodings had not been quantised.
        """
        follow_schedule(self.scheduled, batch)
        encoded: Tensor = self.encoder(batch.images)
        with torch.autocast(batch.images.device.type, enabled=False):  # distances need fp32
            encoded = encoded.float()
            vectors, codes = self.codebook(encoded)
            straight_through = encoded + (vectors - encoded).detach()
        batch.shared["codes"] = codes
        decoded: Tensor = self.decoder(straight_through)
        with torch.autocast(batch.images.device.type, enabled=False):  # sums over pixels need fp32
            return self.loss.objective(
                Quantisation(
                    images=self.decoded.unit(batch.images),
                    logits=self.decoded.logits(decoded.float()),
                    encoded=encoded,
                    vectors=vectors,
                    codes=codes,
                    codebook_size=self.codebook.size,
                )
            )

    def prior_objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Predict each code of the batch from the preceding ones."""
        codes: Tensor = batch.shared["codes"]
        return genbench.Objective(prior_term(self.prior(codes).float(), codes), {})

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return the decoded means of `count` grids of codes, drawn code by code from the prior."""
        codes = self.prior.draw(count, rng)
        return self.decoded.images(self.decoder(self.codebook.look_up(codes)))

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the decoded means of the images' own codes."""
        vectors, _ = self.codebook(self.encoder(images).float())
        return self.decoded.images(self.decoder(vectors))
