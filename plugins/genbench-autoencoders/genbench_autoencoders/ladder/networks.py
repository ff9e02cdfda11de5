"""The networks of the ladder VAE (Sønderby et al. 2016, section 3): perceptrons with two layers of LeakyReLU per level.

Levels i = 1, …, 5 with latents 64, 32, 16, 8, 4 (`latent_dim` and its halves) and widths h = 512, 256, 128, 64, 32:

    encoder    d_0 the values of the image; d_i = perceptron h_i of d_{i-1}; dense mean_i, variance_i of d_i
    decoder    p(z_5) = N(0, I); mean and variance of p(z_i|z_{i+1}): dense of a perceptron h_{i+1} of z_{i+1};
               logits: dense of a perceptron h_1 of z_1

Each dense layer of a perceptron is followed by batch norm and LeakyReLU 0.01; variances are softplus + 0.0001. For
28×28×1: encoder 1,016,184 and decoder 842,752 parameters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import genbench
from genbench_autoencoders.ladder import LadderOptions
from genbench_autoencoders.ladder.loss import combine

_LEAST_VARIANCE = 1e-4


class Gaussian(NamedTuple):
    """Mean and variance, (B, latents) each, fp32."""

    mean: Tensor
    variance: Tensor


class Level(NamedTuple):
    """The latents (B, n) of a level, their prior, and the distribution that they were drawn from."""

    latents: Tensor
    prior: Gaussian
    posterior: Gaussian


def perceptron(inputs: int, width: int) -> nn.Sequential:
    """Return two dense layers with batch norm and LeakyReLU."""
    layers: list[nn.Module] = []
    for size in (inputs, width):
        layers += [nn.Linear(size, width, bias=False), nn.BatchNorm1d(width), nn.LeakyReLU()]
    return nn.Sequential(*layers)


class ToGaussian(nn.Module):
    """From hidden values (B, width) to mean and variance (B, latents) each."""

    def __init__(self, width: int, latents: int) -> None:
        super().__init__()
        self.mean = nn.Linear(width, latents)
        self.variance = nn.Linear(width, latents)

    def forward(self, hidden: Tensor) -> Gaussian:
        """Return both in fp32."""
        return Gaussian(self.mean(hidden).float(), softplus(self.variance(hidden).float()) + _LEAST_VARIANCE)


class Encoder(nn.Module):
    """From images (B, c, h, b) to the evidence of each level, from the lowest to the highest."""

    def __init__(self, values: int, latents: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.bodies = nn.ModuleList(perceptron(inputs, width) for inputs, width in pairwise([values, *widths]))
        self.heads = nn.ModuleList(ToGaussian(width, count) for width, count in zip(widths, latents, strict=True))

    def forward(self, images: Tensor) -> list[Gaussian]:
        """Return mean and variance of each level."""
        hidden, found = images.flatten(1), []
        for body, head in zip(self.bodies, self.heads, strict=True):
            hidden = body(hidden)
            found.append(head(hidden))
        return found


class Decoder(nn.Module):
    """From noise, and the evidence of images, to latents of all levels and logits of images (B, c, h, b)."""

    def __init__(self, image_shape: genbench.Shape, latents: Sequence[int], widths: Sequence[int]) -> None:
        super().__init__()
        self.sizes = list(latents)
        self.bodies = nn.ModuleList(perceptron(count, width) for count, width in zip(latents, widths, strict=True))
        self.heads = nn.ModuleList(ToGaussian(widths[i + 1], latents[i]) for i in range(len(latents) - 1))
        self.pixels = nn.Sequential(nn.Linear(widths[0], math.prod(image_shape)), nn.Unflatten(1, image_shape))

    def forward(self, noise: Tensor, evidence: Sequence[Gaussian] | None = None) -> tuple[Tensor, list[Level]]:
        """Draw from the highest level to the lowest, mean + deviation · noise.

        Args:
            noise: (B, sum of all levels), the lowest level first.
            evidence: mean and variance of each level; None: draw from the prior.

        Returns:
            Logits of images, and the levels from the lowest to the highest.
        """
        pieces = torch.split(noise, self.sizes, 1)
        levels: list[Level] = []
        prior = Gaussian(torch.zeros_like(pieces[-1]), torch.ones_like(pieces[-1]))
        for i in reversed(range(len(self.sizes))):
            posterior = prior
            if evidence is not None:
                highest = i == len(self.sizes) - 1
                posterior = evidence[i] if highest else Gaussian(*combine(*evidence[i], *prior))
            latents = posterior.mean + posterior.variance.sqrt() * pieces[i]
            levels.insert(0, Level(latents, prior, posterior))
            hidden = self.bodies[i](latents)
            if i:
                prior = self.heads[i - 1](hidden)
        return self.pixels(hidden), levels


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: LadderOptions
) -> dict[str, nn.Module]:
    """Return encoder and decoder. Raises `GenbenchError` where the highest level would have no latents."""
    latents = [latent_dim >> level for level in range(len(options.widths))]
    if not latents or latents[-1] < 1:
        raise genbench.GenbenchError(
            f"ladder-vae.widths has {len(latents)} levels; with latent_dim = {latent_dim}, each half of the one below, "
            "the highest has no latents.",
            f"Use 1 to {latent_dim.bit_length()} levels, or a larger latent_dim.",
        )
    return {
        "encoder": Encoder(math.prod(image_shape), latents, options.widths),
        "decoder": Decoder(image_shape, latents, options.widths),
    }
