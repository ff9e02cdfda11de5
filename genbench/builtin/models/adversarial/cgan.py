"""Conditional GAN of multilayer perceptrons (Mirza & Osindero 2014): `gan` with the one-hot label as input.

With K classes, width w = 128 and D = channels·height·width values per image:

    generator      (z, y) -> w -> 2w -> 4w -> 8w -> D   LeakyReLU 0.2, batch norm on all except the first, tanh
    discriminator  (x, y) -> 4w -> 2w -> 1              LeakyReLU 0.2, logit

The label adds K·w weights to the generator and K·4w to the discriminator. For 28×28×1, 100 latents and 10 classes:
generator 1,511,312 and discriminator 538,625 parameters.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

import genbench
from genbench.builtin.models.adversarial import GANOptions, gan
from genbench.builtin.models.labels import append_one_hot, require_classes


class Generator(nn.Module):
    """From latents (B, latent_dim) and labels (B,) to images (B, c, height, width) in [-1, 1]."""

    def __init__(self, latent_dim: int, num_classes: int, image_shape: genbench.Shape, width: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.body = gan.generator(latent_dim + num_classes, image_shape, width)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return images."""
        images: Tensor = self.body(append_one_hot(latents, labels, self.num_classes))
        return images


class Discriminator(nn.Module):
    """From images (B, c, height, width) and labels (B,) to logits (B, 1)."""

    def __init__(self, num_classes: int, image_shape: genbench.Shape, width: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.body = nn.Sequential(*gan.discriminator_layers(math.prod(image_shape) + num_classes, width))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.body(append_one_hot(images.flatten(1), labels, self.num_classes))
        return logits


def build(image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: GANOptions) -> dict[str, nn.Module]:
    """Return the generator and the discriminator."""
    require_classes("cgan", num_classes)
    return {
        "generator": Generator(latent_dim, num_classes, image_shape, options.width),
        "discriminator": Discriminator(num_classes, image_shape, options.width),
    }
