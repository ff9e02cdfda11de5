"""SN-DCGAN: the "standard CNN" of Miyato et al. 2018 (table 3), spectral norm in every layer of the discriminator.

Width w = 64, 128 latents, s = size / 8; weights N(0, 0.02), batch-norm scales N(1, 0.02).

    generator      z 128
                   dense        8w ×  s ×  s
                   ConvT k4 s2  4w × 2s × 2s   batch norm, ReLU
                   ConvT k4 s2  2w × 4s × 4s   batch norm, ReLU
                   ConvT k4 s2   w × 8s × 8s   batch norm, ReLU
                   Conv k3       c × 8s × 8s   tanh
    discriminator  Conv k3       w × 8s × 8s   LeakyReLU 0.1 after each, no batch norm
                   Conv k4 s2    w × 4s × 4s
                   Conv k3      2w × 4s × 4s
                   Conv k4 s2   2w × 2s × 2s
                   Conv k3      4w × 2s × 2s
                   Conv k4 s2   4w ×  s ×  s
                   Conv k3      8w ×  s ×  s
                   dense         1             logit

The paper uses 32 and 48 pixels; Kurach et al. 2018 (arXiv:1807.04720) use the same layout at 128. As 28 is not a
multiple of 8, one stage is omitted there, and the smallest maps are 4w × 7 × 7.

    size   parameters for c = 3 (generator, discriminator)
     28     2,275,651    711,233
     32     3,811,907  2,935,873
     48     5,132,867  2,946,113
     64     6,982,211  2,960,449
    128    19,663,427  3,058,753
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

import genbench
from genbench.builtin.models.adversarial import DCGANOptions
from genbench.builtin.models.adversarial.dcgan import initialise
from genbench.builtin.models.adversarial.spectral_norm import normalise_spectrally


def generator(latent_dim: int, channels: int, size: int, width: int) -> nn.Sequential:
    """Return the network from latents (B, latent_dim) to images (B, c, size, size) in [-1, 1]."""
    side, widths = _stages(size, width)
    layers: list[nn.Module] = [
        nn.Linear(latent_dim, widths[0] * side * side),
        nn.Unflatten(1, (widths[0], side, side)),
    ]
    for inputs, outputs in pairwise(widths):
        layers += [
            nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),  # doubles height and width
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers, nn.Conv2d(width, channels, 3, 1, 1), nn.Tanh())


def discriminator(channels: int, size: int, width: int) -> nn.Sequential:
    """Return the network from images (B, c, size, size) to logits (B,); weights are initialised, then normalised."""
    side, widths = _stages(size, width)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise([channels, *reversed(widths)]):
        layers += [nn.Conv2d(inputs, outputs, 3, 1, 1), nn.LeakyReLU(0.1, inplace=True)]
        if outputs != widths[0]:  # halves height and width
            layers += [nn.Conv2d(outputs, outputs, 4, 2, 1), nn.LeakyReLU(0.1, inplace=True)]
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[0] * side * side, 1), nn.Flatten(0))
    return normalise_spectrally(network.apply(initialise))


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: DCGANOptions
) -> dict[str, nn.Module]:
    """Return the generator and the discriminator."""
    channels, size, _ = image_shape
    return {
        "generator": generator(latent_dim, channels, size, options.width).apply(initialise),
        "discriminator": discriminator(channels, size, options.width),
    }


def _stages(size: int, width: int) -> tuple[int, list[int]]:
    """Return the side of the smallest maps, and the channels of all maps from the smallest to the largest."""
    doublings = 3 if size % 8 == 0 else 2
    return size // 2**doublings, [width * 2**k for k in reversed(range(doublings + 1))]
