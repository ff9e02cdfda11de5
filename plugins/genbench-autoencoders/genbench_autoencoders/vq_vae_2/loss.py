"""The loss `vq-2`: sums over pixels or the grid of codes, means over the batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import genbench
from genbench_autoencoders.vq_vae_2 import VQ2Options


@dataclass(frozen=True)
class VQ2Loss:
    """What the family receives."""

    likelihood: genbench.ImageLikelihood
    commitment: float
    module: nn.Module | None  # the scale of the likelihood, if it is trained


def vq_2(options: VQ2Options) -> VQ2Loss:
    """Return the loss with these options."""
    likelihood = genbench.make_likelihood(options)
    return VQ2Loss(likelihood, options.commitment, likelihood.scale)


def straight_through(encoded: Tensor, vectors: Tensor) -> Tensor:
    """Return the code vectors with the gradient of the encodings."""
    return encoded + (vectors - encoded).detach()


def distance(first: Tensor, second: Tensor) -> Tensor:
    """Σ|a - b|² per image, mean over the batch."""
    return (first - second).square().sum() / len(first)


def code_nll(logits: Tensor, codes: Tensor) -> Tensor:
    """-Σ log p(code | codes before it) of each image, (B,), from logits (B, K, h, w) of codes (B, h, w)."""
    return cross_entropy(logits, codes, reduction="none").flatten(1).sum(1)


def perplexity(codes: Tensor, size: int) -> Tensor:
    """exp of the entropy of the codes in use: 1 where all are equal, `size` where all are used equally often."""
    flat = codes.flatten()
    counts = torch.zeros(size, device=codes.device).scatter_add_(0, flat, torch.ones_like(flat).float())
    entropy: Tensor = torch.special.entr(counts / flat.numel()).sum()
    return entropy.exp()
