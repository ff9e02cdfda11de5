"""Projected GAN (Sauer et al. 2021, arXiv:2111.01007): discriminators of randomly mixed features of a frozen network.

    generator      that of `sagan-unconditional`, without attention unless it is asked for
    features       maps f_1 (the largest) to f_L of a frozen network
    mixing         m_L = W_L f_L,  m_l = W_l f_l + up(V_l m_{l+1}), with frozen random weights:
                   W_l, 1×1, as many channels as f_l has (across channels); V_l, 3×3 (across scales); up is bilinear
    discriminator  one for each m_l: Conv k3 -> d, LeakyReLU 0.2; Conv k4 s2 -> d, LeakyReLU 0.2, repeated until the
                   sides have 3 or 4 pixels; Conv k3 -> 1, a map of logits; spectral norm in each convolution; d = 4w

The discriminators share nothing, and their losses are added up. The mixing is drawn when the model is built, so it
depends on the seed, and is stored with the weights. The paper's small discriminators have batch norm, which couples the
images of a batch; here they have none.

Parameters for 28×28×1, w = 16 and `fashion-cnn`: generator 442,273, discriminators 327,747.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

import genbench
from genbench_attention_gan import ProjectedOptions
from genbench_attention_gan.sagan import unconditional_generator
from genbench_attention_gan.spectral_norm import normalise

_LARGEST_SIDE = 4  # of a map of logits, in pixels


class Mixing(nn.Module):
    """Mixes maps (B, C_l, h_l, w_l), the largest first, across channels and scales, by frozen random convolutions.

    Kaiming-normal weights without a gain: each convolution keeps the mean square of its input, on average. They are
    buffers, so that they are stored and not trained. `mixing`: `none` returns the maps, `channels` W_l f_l.
    """

    def __init__(self, channels: Sequence[int], mixing: str) -> None:
        super().__init__()
        self.mixing = mixing
        self.levels = len(channels)
        for level, count in enumerate(channels):
            if mixing != "none":
                self.register_buffer(f"across_channels_{level}", _random(count, count, 1))
            if mixing == "scales" and level + 1 < self.levels:
                self.register_buffer(f"across_scales_{level}", _random(count, channels[level + 1], 3))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return as many maps, of the same shapes."""
        if self.mixing == "none":
            return list(maps)
        mixed: list[Tensor] = []
        for level in reversed(range(self.levels)):
            values = nn.functional.conv2d(maps[level], self.get_buffer(f"across_channels_{level}"))
            if mixed and self.mixing == "scales":
                coarse = nn.functional.conv2d(mixed[0], self.get_buffer(f"across_scales_{level}"), padding=1)
                values = values + interpolate(coarse, values.shape[2:], mode="bilinear", align_corners=False)
            mixed.insert(0, values)
        return mixed


class ProjectedDiscriminator(nn.Module):
    """From images (B, c, size, size) to maps of logits (B, 1, h, w), one for each map of the frozen network."""

    def __init__(self, features: genbench.FeatureMaps, image_shape: genbench.Shape, width: int, mixing: str) -> None:
        super().__init__()
        self.features = features
        with torch.no_grad():
            sides = [maps.shape[-1] for maps in features(torch.zeros(1, *image_shape))]
        self.mixing = Mixing(features.channels, mixing)
        self.heads = nn.ModuleList(
            _head(channels, side, width) for channels, side in zip(features.channels, sides, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the logits of each scale."""
        mixed = self.mixing(self.features(images))
        return [head(maps) for head, maps in zip(self.heads, mixed, strict=True)]


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: ProjectedOptions
) -> dict[str, nn.Module]:
    """Return the networks of `projected-gan`."""
    generator = unconditional_generator(image_shape, latent_dim, options.width, options.attention)
    features = genbench.feature_maps(options.features)
    discriminator = ProjectedDiscriminator(features, image_shape, 4 * options.width, options.mixing)
    return {"generator": generator, "discriminator": discriminator}


def _head(channels: int, side: int, width: int) -> nn.Sequential:
    """Return a discriminator of maps (B, channels, side, side), with spectral norm."""
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, 1, 1), nn.LeakyReLU(0.2)]
    while side > _LARGEST_SIDE:
        layers += [nn.Conv2d(width, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        side //= 2
    return normalise(nn.Sequential(*layers, nn.Conv2d(width, 1, 3, 1, 1)), nn.Conv2d)


def _random(outputs: int, inputs: int, side: int) -> Tensor:
    weight = torch.empty(outputs, inputs, side, side)
    nn.init.kaiming_normal_(weight, nonlinearity="linear")
    return weight
