"""GAN of multilayer perceptrons (Goodfellow et al. 2014), with the usual layer sizes of GANs for small images.

With width w = 128 and D = channels·height·width values per image:

    generator      z -> w -> 2w -> 4w -> 8w -> D   LeakyReLU 0.2, batch norm on all hidden layers except the first, tanh
    discriminator  D -> 4w -> 2w -> 1              LeakyReLU 0.2, logit

For 28×28×1 and 100 latents: generator 1,510,032 and discriminator 533,505 parameters.
"""

from __future__ import annotations

import math

from torch import nn

import genbench
from genbench.builtin.models.adversarial import GANOptions


def generator(inputs: int, image_shape: genbench.Shape, width: int) -> nn.Sequential:
    """Return the perceptron from vectors (B, inputs) to images (B, c, height, width) in [-1, 1]."""
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.LeakyReLU(0.2),
        *_normalised(width, 2 * width),
        *_normalised(2 * width, 4 * width),
        *_normalised(4 * width, 8 * width),
        nn.Linear(8 * width, math.prod(image_shape)),
        nn.Tanh(),
        nn.Unflatten(1, image_shape),
    )


def discriminator_layers(inputs: int, width: int) -> list[nn.Module]:
    """Return the perceptron from vectors (B, inputs) to logits (B, 1)."""
    return [
        nn.Linear(inputs, 4 * width),
        nn.LeakyReLU(0.2),
        nn.Linear(4 * width, 2 * width),
        nn.LeakyReLU(0.2),
        nn.Linear(2 * width, 1),
    ]


def build(image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: GANOptions) -> dict[str, nn.Module]:
    """Return the generator and the discriminator."""
    return {
        "generator": generator(latent_dim, image_shape, options.width),
        "discriminator": nn.Sequential(nn.Flatten(), *discriminator_layers(math.prod(image_shape), options.width)),
    }


def _normalised(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.LeakyReLU(0.2)]
