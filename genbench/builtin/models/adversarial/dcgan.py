"""DCGAN (Radford et al. 2015) in its widely used 64-pixel form, with one stage more or less for other sizes.

Width w = 64, c channels, 100 latents; no layer has a bias; weights N(0, 0.02), batch-norm scales N(1, 0.02).

    64 pixels   generator       z 100×1×1
                                ConvT k4 s1    8w × 4 × 4    batch norm, ReLU
                                ConvT k4 s2    4w × 8 × 8    batch norm, ReLU
                                ConvT k4 s2    2w × 16 × 16  batch norm, ReLU
                                ConvT k4 s2     w × 32 × 32  batch norm, ReLU
                                ConvT k4 s2     c × 64 × 64  tanh
                discriminator   the mirror image, LeakyReLU 0.2, no batch norm next to the image, one logit

    size  first map  channels of the stages   parameters for c = 3 (generator, discriminator)
     28   2w × 7×7   2w w c                       761,728     140,672  (first kernel 7×7)
     32   4w × 4×4   4w 2w w c                  1,068,928     663,296
     64   8w × 4×4   8w 4w 2w w c               3,576,704   2,765,568
    128  16w × 4×4   16w 8w 4w 2w w c          12,786,560  11,164,416

Other models are built from the same stages, so that they differ from this one only as their names say.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

import genbench
from genbench.builtin.models.adversarial import DCGANOptions
from genbench.builtin.models.adversarial.small_maps import Doubling, FromPixel, Halving, ToPixel

SMALL = 4  # side of the maps whose (transposed) convolution to or from twice the side is a matrix product


def stages(size: int, width: int) -> tuple[int, list[int]]:
    """Return the side of the smallest maps, and the channels of all maps from the smallest to the largest."""
    first = 7 if size % 7 == 0 else 4
    doublings = (size // first).bit_length() - 1
    return first, [width * 2**k for k in reversed(range(doublings))]


def generator_layers(latent_dim: int, channels: int, size: int, width: int) -> list[nn.Module]:
    """Return the transposed convolutions from vectors (B, latent_dim) to maps (B, channels, size, size)."""
    first, widths = stages(size, width)
    layers: list[nn.Module] = [
        nn.Unflatten(1, (latent_dim, 1, 1)),
        FromPixel(latent_dim, widths[0], first),  # widths[0] × first × first
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(inplace=True),
    ]
    for inputs, outputs in pairwise(widths):
        smallest = first == SMALL and inputs == widths[0]
        layers += [
            Doubling(inputs, outputs) if smallest else nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return [*layers, nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1, bias=False)]  # channels × size × size


def feature_layers(channels: int, size: int, width: int) -> list[nn.Module]:
    """Return the convolutions from images (B, channels, size, size) to the smallest maps."""
    first, widths = stages(size, width)
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 4, 2, 1, bias=False),  # width × size/2 × size/2
        nn.LeakyReLU(0.2, inplace=True),
    ]
    for inputs, outputs in pairwise(reversed(widths)):
        smallest = first == SMALL and outputs == widths[0]
        layers += [
            Halving(inputs, outputs) if smallest else nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    return layers


def head(size: int, width: int, outputs: int) -> nn.Conv2d:
    """Return the convolution from the smallest maps to (B, outputs, 1, 1)."""
    first, widths = stages(size, width)
    return ToPixel(widths[0], outputs, first)


def initialise(module: nn.Module) -> None:
    """Initialise the weights of one layer as in the paper (section 4); for `Module.apply`."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def generator(latent_dim: int, channels: int, size: int, width: int) -> nn.Sequential:
    """Return the network from latents (B, latent_dim) to images (B, c, size, size) in [-1, 1]."""
    return nn.Sequential(*generator_layers(latent_dim, channels, size, width), nn.Tanh())


def discriminator(channels: int, size: int, width: int) -> nn.Sequential:
    """Return the network from images (B, c, size, size) to logits (B,)."""
    return nn.Sequential(*feature_layers(channels, size, width), head(size, width, 1), nn.Flatten(0))


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: DCGANOptions
) -> dict[str, nn.Module]:
    """Return the generator and the discriminator."""
    channels, size, _ = image_shape
    networks: dict[str, nn.Module] = {
        "generator": generator(latent_dim, channels, size, options.width),
        "discriminator": discriminator(channels, size, options.width),
    }
    for network in networks.values():
        network.apply(initialise)
    return networks
