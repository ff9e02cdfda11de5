"""DCGAN with a critic that treats images independently: layer norm, or no norm, instead of batch norm.

Width w = 64, c channels, 100 latents.

    64 pixels   generator   z 100×1×1
                            ConvT k4 s1    8w × 4 × 4    batch norm, ReLU
                            ConvT k4 s2    4w × 8 × 8    batch norm, ReLU
                            ConvT k4 s2    2w × 16 × 16  batch norm, ReLU
                            ConvT k4 s2     w × 32 × 32  batch norm, ReLU
                            ConvT k4 s2     c × 64 × 64  tanh
                critic      Conv k4 s2      w × 32 × 32  LeakyReLU 0.2
                            Conv k4 s2     2w × 16 × 16  layer norm, LeakyReLU 0.2
                            Conv k4 s2     4w × 8 × 8    layer norm, LeakyReLU 0.2
                            Conv k4 s2     8w × 4 × 4    layer norm, LeakyReLU 0.2
                            Conv k4         1            logit

    size  first map  channels of the stages   parameters for c = 3 (generator; critic with layer norm, with none)
     28   2w × 7×7   2w w c                     761,728    140,672    140,608  (first kernel 7×7)
     32   4w × 4×4   4w 2w w c                1,068,928    663,296    662,976
     64   8w × 4×4   8w 4w 2w w c             3,576,704  2,765,568  2,764,736

The counts with layer norm are those of genbench's own `dcgan`. The model differs from it only in the norm and in the
initialisation of the critic: He-normal (Gulrajani et al. 2017); the generator's weights are drawn from N(0, 0.02).
Layer norm is over the channels and pixels of one image, with a scale and a shift per channel. Without norm the
convolutions have biases, except the last one: a Wasserstein loss is invariant to a shift of all logits.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

import genbench
from genbench_wgan import CriticOptions

_SLOPE = 0.2  # of LeakyReLU for negative inputs


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: CriticOptions
) -> dict[str, nn.Module]:
    """Return the generator, and the critic under the family's name for it."""
    channels, size, _ = image_shape
    first, widths = _stages(size, options.width)
    return {
        "generator": _generator(latent_dim, channels, first, widths),
        "discriminator": _critic(channels, first, widths, layer_norm=options.norm == "layer"),
    }


def _stages(size: int, width: int) -> tuple[int, list[int]]:
    """Return the side of the smallest map, and the channels of the maps from the smallest to the largest."""
    first = 7 if size == 28 else 4
    doublings = (size // first).bit_length() - 1
    return first, [width << k for k in reversed(range(doublings))]


def _generator(latent_dim: int, channels: int, first: int, widths: list[int]) -> nn.Sequential:
    """Return the network from latents (B, latent_dim) to images (B, channels, size, size) in [-1, 1]."""
    layers: list[nn.Module] = [
        nn.Unflatten(1, (latent_dim, 1, 1)),
        nn.ConvTranspose2d(latent_dim, widths[0], first, 1, 0, bias=False),  # widths[0] × first × first
    ]
    for inputs, outputs in pairwise([*widths, channels]):
        layers += [
            nn.BatchNorm2d(inputs),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False),  # twice the height and width
        ]
    return nn.Sequential(*layers, nn.Tanh()).apply(_init_generator)


def _critic(channels: int, first: int, widths: list[int], *, layer_norm: bool) -> nn.Sequential:
    """Return the network from images (B, channels, size, size) to logits (B,)."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise([channels, *reversed(widths)]):
        layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=not layer_norm))  # half the height and width
        if layer_norm and inputs != channels:
            layers.append(nn.GroupNorm(1, outputs))  # one group: layer norm
        layers.append(nn.LeakyReLU(_SLOPE, inplace=True))
    logit = nn.Conv2d(widths[0], 1, first, 1, 0, bias=False)
    return nn.Sequential(*layers, logit, nn.Flatten(0)).apply(_init_critic)


def _init_generator(layer: nn.Module) -> None:
    """Initialise a layer of the generator as in Radford et al. 2015 (section 4)."""
    if isinstance(layer, nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)


def _init_critic(layer: nn.Module) -> None:
    """Initialise a layer of the critic as in He et al. 2015 (equation 14): without batch norm, scales must be kept."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, _SLOPE)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
