"""The networks of the regularised autoencoder (Ghosh et al. 2020; sizes as pythae publishes them for its reproduction).

Width w = 32 (published: 128), s the side after three halvings, rounded up (4, 4, 8 of 28, 32, 64 pixels):

    encoder    Conv k4 s2   w, 2w, 4w, 8w         batch norm, ReLU after each; dense latent_dim
    decoder    dense       8w × s × s
               ConvT k3 s2 4w × 2s × 2s           batch norm, ReLU (7 × 7 of 28 pixels)
               ConvT k3 s2 2w × 4s × 4s           batch norm, ReLU
               ConvT k3 s2  c × 8s × 8s           logits
    density    see `density`

For 28×28×1, width 128 and 16 latents: encoder 11,034,256 and decoder 6,181,377 parameters.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

import genbench
from genbench_autoencoders.rae import RAEOptions
from genbench_autoencoders.rae.density import FittedDensity


def encoder(image_shape: genbench.Shape, latent_dim: int, width: int) -> nn.Sequential:
    """Return the layers from images (B, c, size, size) to codes (B, latent_dim)."""
    channels, size, _ = image_shape
    maps = [channels, width, 2 * width, 4 * width, 8 * width]
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(maps):
        layers += [nn.Conv2d(inputs, outputs, 4, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(maps[-1] * (size // 16) ** 2, latent_dim))


def decoder(image_shape: genbench.Shape, latent_dim: int, width: int) -> nn.Sequential:
    """Return the layers from codes (B, latent_dim) to logits (B, c, size, size)."""
    channels, size, _ = image_shape
    smallest = -(-size // 8)
    first = (size // 4) % 2 == 0  # 4 × 4 becomes 8 × 8, or the 7 × 7 of 28 pixels
    return nn.Sequential(
        nn.Linear(latent_dim, 8 * width * smallest**2),
        nn.Unflatten(1, (8 * width, smallest, smallest)),
        nn.ConvTranspose2d(8 * width, 4 * width, 3, 2, 1, output_padding=int(first)),
        nn.BatchNorm2d(4 * width),
        nn.ReLU(),
        nn.ConvTranspose2d(4 * width, 2 * width, 3, 2, 1, output_padding=1),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, channels, 3, 2, 1, output_padding=1),
    )


def build(image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: RAEOptions) -> dict[str, nn.Module]:
    """Return encoder, decoder and the density of codes."""
    return {
        "encoder": encoder(image_shape, latent_dim, options.width),
        "decoder": decoder(image_shape, latent_dim, options.width),
        "density": FittedDensity(latent_dim, options.components),
    }
