"""The networks of `veegan`: multilayer perceptrons like those of genbench's `gan`, for images of any shape.

Width w = 128, v values of an image, h latents:

    generator      h -> w -> 2w -> v    ReLU, batch norm after the first layer and the second; tanh
    reconstructor  v -> 2w -> w -> h    ReLU
    discriminator  v + h -> 2w -> w -> 1    LeakyReLU 0.2

For 28×28×1: generator 248,208, reconstructor 246,756 and discriminator 259,585 parameters.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import genbench
from genbench_adversarial import VEEGANOptions


class PairDiscriminator(nn.Module):
    """From latents (B, h) and images (B, …) to logits (B,)."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(inputs, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Linear(2 * width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, 1),
        )

    def forward(self, latents: Tensor, images: Tensor) -> Tensor:
        """Return the logit of each pair."""
        logits: Tensor = self.body(torch.cat([latents.to(images.dtype), images.flatten(1)], dim=1))
        return logits.squeeze(1)


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: VEEGANOptions
) -> dict[str, nn.Module]:
    """Return generator, reconstructor and discriminator."""
    values, width = math.prod(image_shape), options.width
    return {
        "generator": nn.Sequential(
            nn.Linear(latent_dim, width),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Linear(width, 2 * width),
            nn.BatchNorm1d(2 * width),
            nn.ReLU(),
            nn.Linear(2 * width, values),
            nn.Tanh(),
            nn.Unflatten(1, image_shape),
        ),
        "reconstructor": nn.Sequential(
            nn.Flatten(),
            nn.Linear(values, 2 * width),
            nn.ReLU(),
            nn.Linear(2 * width, width),
            nn.ReLU(),
            nn.Linear(width, latent_dim),
        ),
        "discriminator": PairDiscriminator(values + latent_dim, width),
    }
