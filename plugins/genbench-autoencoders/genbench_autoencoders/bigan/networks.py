"""The networks of ALI (Dumoulin et al. 2017, appendix A, CIFAR-10), for 32 pixels as in the paper, and for 28 and 64.

Width w = 16 (the paper: 32), d latents, c channels; k × s are kernel and stride, without padding:

    encoder                        28 pixels        32 pixels        64 pixels
        Conv    w                  5 × 1  24²       5 × 1  28²       5 × 1  60²
        Conv   2w                  4 × 2  11²       4 × 2  13²       4 × 2  29²
        Conv   4w                  4 × 1   8²       4 × 1  10²       4 × 1  26²
        Conv   8w                  4 × 2   3²       4 × 2   4²       4 × 2  12²
        Conv  16w                  3 × 1   1²       4 × 1   1²       4 × 2   5²
        Conv  16w                                                    5 × 1   1²
        Conv k1 16w, Conv k1 to d (bigan), or to mean and log variance, 2d (ali)
    generator                      the reverse, transposed: 8w, 4w, 2w, w, w; Conv k1 w, Conv k1 c, sigmoid
    joint_discriminator
        of the image               the encoder's convolutions without norm
        of the latent              Conv k1 16w, Conv k1 16w
        of both, 32w               Conv k1 32w, Conv k1 32w, Conv k1 1

Encoder and generator have batch norm and LeakyReLU (slope 0.1; slopes and initial weights of the paper are not
reproduced) after each convolution but the last, and no biases before batch norm. With `activation=maxout`, as in the
paper, each layer of the discriminator but the last has twice the maps, and the larger of two neighbours counts. As it
has no norm, its weights start with a variance that keeps that of its inputs (He et al. 2015): with torch's default, its
logits hardly depend on the images at first. The paper's dropout in the discriminator is a setting of the recipe here
(`--dropout 0.2`).

For 32×32×3, width 32, 64 latents and maxout: encoder 3,118,496, generator 978,083, discriminator 10,368,641
parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

import genbench
from genbench_autoencoders.bigan import BiGANOptions

_STEPS = {  # side of the image -> kernel and stride of each convolution
    28: ((5, 1), (4, 2), (4, 1), (4, 2), (3, 1)),
    32: ((5, 1), (4, 2), (4, 1), (4, 2), (4, 1)),
    64: ((5, 1), (4, 2), (4, 1), (4, 2), (4, 2), (5, 1)),
}
_SLOPE = 0.1


def _channels(image_shape: genbench.Shape, width: int) -> list[int]:
    """Return the channels before and after each convolution of the encoder."""
    widths = [width * factor for factor in (1, 2, 4, 8, 16, 16)]
    return [image_shape[0], *widths[: len(_STEPS[image_shape[1]])]]


class Encoder(nn.Module):
    """From images (B, c, size, size) to codes (B, d), or to mean and log variance (B, d) each."""

    def __init__(self, image_shape: genbench.Shape, latent_dim: int, width: int, random: bool) -> None:
        super().__init__()
        channels = _channels(image_shape, width)
        layers: list[nn.Module] = []
        steps = [*_STEPS[image_shape[1]], (1, 1)]
        for (inputs, outputs), (kernel, stride) in zip(pairwise([*channels, channels[-1]]), steps, strict=True):
            layers += [nn.Conv2d(inputs, outputs, kernel, stride, bias=False), nn.BatchNorm2d(outputs)]
            layers += [nn.LeakyReLU(_SLOPE)]
        self.random = random
        self.layers = nn.Sequential(
            *layers, nn.Conv2d(channels[-1], latent_dim * (2 if random else 1), 1), nn.Flatten()
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return mean and log variance; None is the log variance of an encoder without noise."""
        found = self.layers(images)
        if not self.random:
            return found, None
        mean, log_variance = found.chunk(2, 1)
        return mean, log_variance


def generator(image_shape: genbench.Shape, latent_dim: int, width: int) -> nn.Sequential:
    """Return the layers from latents (B, d) to images (B, c, size, size) in [0, 1]."""
    inner = _channels(image_shape, width)[1:-1]
    maps = [latent_dim, *inner[::-1], width, width]
    steps = [*_STEPS[image_shape[1]][::-1], (1, 1)]
    layers: list[nn.Module] = [nn.Unflatten(1, (latent_dim, 1, 1))]
    for (inputs, outputs), (kernel, stride) in zip(pairwise(maps), steps, strict=True):
        layers += [nn.ConvTranspose2d(inputs, outputs, kernel, stride, bias=False), nn.BatchNorm2d(outputs)]
        layers += [nn.LeakyReLU(_SLOPE)]
    return nn.Sequential(*layers, nn.Conv2d(width, image_shape[0], 1), nn.Sigmoid())


class Maxout(nn.Module):
    """The larger of two neighbouring channels, (B, 2n, h, w) -> (B, n, h, w) (Goodfellow et al. 2013)."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the maxima."""
        batch, channels, height, width = maps.shape
        return maps.reshape(batch, channels // 2, 2, height, width).amax(2)


class JointDiscriminator(nn.Module):
    """From images (B, c, size, size) and latents (B, d) to logits (B, 1)."""

    def __init__(self, image_shape: genbench.Shape, latent_dim: int, options: BiGANOptions) -> None:
        super().__init__()
        channels = _channels(image_shape, options.width)
        top = channels[-1]
        points = [(1, 1), (1, 1)]
        self.of_image = _judging(channels, _STEPS[image_shape[1]], options.activation)
        self.of_latent = _judging([latent_dim, top, top], points, options.activation)
        self.of_both = nn.Sequential(
            _judging([2 * top] * 3, points, options.activation), nn.Conv2d(2 * top, 1, 1), nn.Flatten()
        )

    def forward(self, images: Tensor, latents: Tensor) -> Tensor:
        """Return logits (B, 1)."""
        both = torch.cat([self.of_image(images), self.of_latent(latents[:, :, None, None])], 1)
        return self.of_both(both)  # type: ignore[no-any-return]


def _judging(maps: Sequence[int], steps: Sequence[tuple[int, int]], activation: str) -> nn.Sequential:
    layers: list[nn.Module] = []
    for (inputs, outputs), (kernel, stride) in zip(pairwise(maps), steps, strict=True):
        pieces = 2 if activation == "maxout" else 1
        layers += [nn.Conv2d(inputs, pieces * outputs, kernel, stride)]
        nn.init.kaiming_normal_(layers[-1].weight, a=_SLOPE)  # type: ignore[arg-type]
        nn.init.zeros_(layers[-1].bias)  # type: ignore[arg-type]
        layers += [Maxout() if activation == "maxout" else nn.LeakyReLU(_SLOPE)]
    return nn.Sequential(*layers)


def build(image_shape: genbench.Shape, latent_dim: int, options: BiGANOptions, random: bool) -> dict[str, nn.Module]:
    """Return encoder, generator and discriminator."""
    return {
        "encoder": Encoder(image_shape, latent_dim, options.width, random),
        "generator": generator(image_shape, latent_dim, options.width),
        "joint_discriminator": JointDiscriminator(image_shape, latent_dim, options),
    }


def build_ali(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: BiGANOptions
) -> dict[str, nn.Module]:
    """Return the networks with an encoder that returns mean and log variance."""
    return build(image_shape, latent_dim, options, random=True)


def build_bigan(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: BiGANOptions
) -> dict[str, nn.Module]:
    """Return the networks with an encoder without noise."""
    return build(image_shape, latent_dim, options, random=False)
