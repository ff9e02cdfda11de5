"""DCGAN with a dense first layer, as in introductory articles on generating faces.

The generator is dense -> reshape -> [batch norm, LeakyReLU 0.2, ConvT k4 s2] for every doubling -> tanh; the
discriminator is that of `dcgan`. Width w = 64, c channels, 100 latents; weights N(0, 0.02).

    128 pixels  z 100
                dense          16w·4·4 with bias, reshaped to 16w × 4 × 4
                batch norm, LeakyReLU, ConvT k4 s2   8w × 8 × 8
                batch norm, LeakyReLU, ConvT k4 s2   4w × 16 × 16
                batch norm, LeakyReLU, ConvT k4 s2   2w × 32 × 32
                batch norm, LeakyReLU, ConvT k4 s2    w × 64 × 64
                batch norm, LeakyReLU, ConvT k4 s2    c × 128 × 128, tanh

A dense layer and a reshape equal the first transposed convolution of `dcgan` except for the bias, so the parameters
are those of `dcgan` plus one bias per value of the first map: 768,000 (28 pixels), 1,073,024 (32), 3,584,896 (64) and
12,802,944 (128) in the generator for c = 3.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

import genbench
from genbench.builtin.models.adversarial import DCGANOptions
from genbench.builtin.models.adversarial.dcgan import discriminator, initialise, stages


def generator(latent_dim: int, channels: int, size: int, width: int) -> nn.Sequential:
    """Return the network from latents (B, latent_dim) to images (B, c, size, size) in [-1, 1]."""
    first, widths = stages(size, width)
    layers: list[nn.Module] = [
        nn.Linear(latent_dim, widths[0] * first * first),
        nn.Unflatten(1, (widths[0], first, first)),
    ]
    for inputs, outputs in pairwise([*widths, channels]):
        layers += [
            nn.BatchNorm2d(inputs),
            nn.LeakyReLU(0.2, inplace=True),
            nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),  # doubles height and width
        ]
    return nn.Sequential(*layers, nn.Tanh())


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: DCGANOptions
) -> dict[str, nn.Module]:
    """Return the generator and the discriminator."""
    channels, size, _ = image_shape
    return {
        "generator": generator(latent_dim, channels, size, options.width).apply(initialise),
        "discriminator": discriminator(channels, size, options.width).apply(initialise),
    }
