"""DCGAN (Radford et al. 2015), as its widely used 64-pixel form, with one stage more or less for other sizes.

Width w = 64, c channels, 100 latents; no layer has a bias; weights N(0, 0.02), batch-norm scales N(1, 0.02).

    64 pixels   generator       z 100×1×1
                                ConvT k4 s1    8w × 4 × 4    batch norm, ReLU
                                ConvT k4 s2    4w × 8 × 8    batch norm, ReLU
                                ConvT k4 s2    2w × 16 × 16  batch norm, ReLU
                                ConvT k4 s2     w × 32 × 32  batch norm, ReLU
                                ConvT k4 s2     c × 64 × 64  tanh
                discriminator   the mirror image, LeakyReLU 0.2, no batch norm next to the image, ends in a logit

    size  first map  channels of the stages   parameters for c = 3 (generator, discriminator)
     28   2w × 7×7   2w w c                       761,728     140,672  (first kernel 7×7)
     32   4w × 4×4   4w 2w w c                  1,068,928     663,296
     64   8w × 4×4   8w 4w 2w w c               3,576,704   2,765,568
    128  16w × 4×4   16w 8w 4w 2w w c          12,786,560  11,164,416
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

import genbench
from genbench.builtin.models import DCGANOptions


class Generator(nn.Sequential):
    """Transposed convolutions from latents (B, latent_dim) to images (B, c, size, size) in [-1, 1]."""

    def __init__(self, latent_dim: int, channels: int, size: int, width: int) -> None:
        first, widths = _stages(size, width)
        layers: list[nn.Module] = [
            nn.Unflatten(1, (latent_dim, 1, 1)),
            nn.ConvTranspose2d(latent_dim, widths[0], first, 1, 0, bias=False),  # widths[0] × first × first
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(inplace=True),
        ]
        for inputs, outputs in pairwise(widths):
            layers += [
                nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),  # twice the height and width
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
        layers += [nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1, bias=False), nn.Tanh()]  # channels × size × size
        super().__init__(*layers)


class Discriminator(nn.Sequential):
    """Convolutions from images (B, c, size, size) to logits (B,)."""

    def __init__(self, channels: int, size: int, width: int) -> None:
        first, widths = _stages(size, width)
        widths = widths[::-1]
        layers: list[nn.Module] = [
            nn.Conv2d(channels, widths[0], 4, 2, 1, bias=False),  # width × size/2 × size/2
            nn.LeakyReLU(0.2, inplace=True),
        ]
        for inputs, outputs in pairwise(widths):
            layers += [
                nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False),  # half the height and width
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        layers += [nn.Conv2d(widths[-1], 1, first, 1, 0, bias=False), nn.Flatten(0)]  # 1 × 1 × 1 -> logit
        super().__init__(*layers)


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: DCGANOptions
) -> dict[str, nn.Module]:
    """Return the generator and the discriminator."""
    channels, size, _ = image_shape
    networks: dict[str, nn.Module] = {
        "generator": Generator(latent_dim, channels, size, options.width),
        "discriminator": Discriminator(channels, size, options.width),
    }
    for network in networks.values():
        network.apply(_initialise)
    return networks


def _stages(size: int, width: int) -> tuple[int, list[int]]:
    """Return the side of the smallest map, and the channels of the maps from the smallest to the largest."""
    first = 7 if size % 7 == 0 else 4
    doublings = (size // first).bit_length() - 1
    return first, [width * 2**k for k in reversed(range(doublings))]


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
