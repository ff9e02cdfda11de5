"""The VQ-VAE's loss: pure functions; sums over pixels or the grid of codes, means over the batch.

As every term is a sum per image and a mean over images, duplicating a batch changes none of them, and their balance
does not depend on the batch size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import genbench
from genbench.builtin.losses.variational.likelihoods import make_likelihood
from genbench.builtin.losses.vector_quantised import VQOptions


@dataclass(slots=True)
class Quantisation:
    """The input of a loss of the vector-quantised family for a batch of B images."""

    images: Tensor  # (B, channels, height, width), in [0, 1]
    logits: Tensor  # (B, channels, height, width), of the decoded means
    encoded: Tensor  # z_e, (B, D, h, w), returned by the encoder
    vectors: Tensor  # e, (B, D, h, w), the nearest code vectors, with a gradient to the codebook where it has one
    codes: Tensor  # int64, (B, h, w), the indices of those vectors
    codebook_size: int  # K


@dataclass(frozen=True)
class VectorQuantisedLoss:
    """The object that a loss spec of the vector-quantised family creates."""

    objective: Callable[[Quantisation], genbench.Objective]  # of encoder, codebook and decoder
    module: nn.Module | None = None  # parameters of the loss itself, trained with the networks


def codebook_term(encoded: Tensor, vectors: Tensor) -> Tensor:
    """Σ|sg[z_e] - e|²: moves code vectors to the encodings (van den Oord et al. 2017, equation 3, second term)."""
    return (vectors - encoded.detach()).square().sum() / len(encoded)


def commitment_term(encoded: Tensor, vectors: Tensor) -> Tensor:
    """Σ|z_e - sg[e]|²: keeps encodings near their code vectors (equation 3, third term, without β)."""
    return (encoded - vectors.detach()).square().sum() / len(encoded)


def perplexity(codes: Tensor, codebook_size: int) -> Tensor:
    """exp of the entropy of the codes in use: 1 where all are equal, K where all are used equally often."""
    flat = codes.flatten()
    counts = torch.zeros(codebook_size, device=codes.device).scatter_add_(0, flat, torch.ones_like(flat).float())
    entropy: Tensor = torch.special.entr(counts / flat.numel()).sum()
    return entropy.exp()


def prior_term(logits: Tensor, codes: Tensor) -> Tensor:
    """-Σ log p(code | codes before it), nats per image, of logits (B, K, h, w) and codes (B, h, w)."""
    return cross_entropy(logits, codes, reduction="sum") / len(codes)


def vq(options: VQOptions) -> VectorQuantisedLoss:
    """Return the loss of van den Oord et al. 2017, equation 3.

    Where the codebook follows a moving average of the encodings, the codebook term has no gradient and only shows the
    distance between code vectors and encodings.
    """
    likelihood = make_likelihood(options)

    def objective(found: Quantisation) -> genbench.Objective:
        reconstruction = likelihood.mean(found.images, found.logits)
        codebook = codebook_term(found.encoded, found.vectors)
        commitment = commitment_term(found.encoded, found.vectors)
        terms = {
            "reconstruction": reconstruction,
            "codebook": codebook,
            "commitment": commitment,
            "perplexity": perplexity(found.codes, found.codebook_size),
            **likelihood.terms(),
        }
        return genbench.Objective(reconstruction + codebook + options.commitment * commitment, terms)

    return VectorQuantisedLoss(objective, likelihood.scale)
