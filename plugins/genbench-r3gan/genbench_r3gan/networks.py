"""Small networks of R3GAN (Huang et al. 2024, section 3): residual, inverted bottlenecks, no normalisation.

    block          Conv k1 to 2c, LeakyReLU 0.2, Conv k3 in groups of 16 channels, LeakyReLU 0.2, Conv k1 to c; + input
    stage          a transition, then `depth` blocks
    transition     twice (generator) or half (discriminator) the size, bilinear; Conv k1 where the channels change
    generator      first stage: learnt maps of the smallest size, each scaled by a linear function of z
                   last: Conv k1 to the image, tanh
    discriminator  first: Conv k1 from the image; last: per channel, one filter as large as the map, then a weighted
                   sum: the logit

    size  maps of the stages, width w         parameters for w = 16, depth 2, c = 3 (generator, discriminator)
     28   4w × 7²   2w × 14²   w × 28²         118,256  114,224
     32   4w × 4²   4w ×  8²  2w × 16²  w × 32²  186,288  182,256
     64   4w × 4²   4w ×  8²  4w × 16²  2w × 32²  w × 64²  256,432  252,400

Weights are He-normal. With L blocks, the first two convolutions of each are scaled by L^(-1/4) and the last one starts
at zero (Fixup: Zhang et al. 2019, arXiv:1901.09321, section 3), so a network starts close to the identity and needs no
norm. Only layers before an activation have a bias: a loss on pairs is invariant to a shift of all logits.

The paper's networks have the same parts, are wider (for images of up to 256 pixels) and do not end in tanh, which is
used here because genbench needs images in a declared range.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

import genbench
from genbench_r3gan import R3GANOptions

_SLOPE = 0.2  # of LeakyReLU for negative inputs
_GROUP = 16  # channels per group of a 3×3 convolution
_EXPANSION = 2  # channels inside a block per channel outside
_WIDEST = 4  # largest multiple of the width


class Block(nn.Module):
    """Residual block on maps (B, channels, s, s)."""

    def __init__(self, channels: int, blocks: int) -> None:
        """Create one of `blocks` blocks of a network."""
        super().__init__()
        groups = -(-_EXPANSION * channels // _GROUP)  # rounded up to whole groups
        inner = groups * _GROUP
        widen = nn.Conv2d(channels, inner, 1)
        grouped = nn.Conv2d(inner, inner, 3, 1, 1, groups=groups)
        narrow = nn.Conv2d(inner, channels, 1, bias=False)
        for convolution in (widen, grouped):
            assert convolution.bias is not None
            nn.init.zeros_(convolution.bias)
            nn.init.kaiming_normal_(convolution.weight, _SLOPE)
            with torch.no_grad():
                convolution.weight.mul_(blocks**-0.25)
        nn.init.zeros_(narrow.weight)
        self.residual = nn.Sequential(
            widen, nn.LeakyReLU(_SLOPE, inplace=True), grouped, nn.LeakyReLU(_SLOPE, inplace=True), narrow
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        output: Tensor = maps + self.residual(maps)
        return output


class LearntMaps(nn.Module):
    """From latents (B, latent_dim) to maps (B, channels, side, side): learnt maps, each multiplied by its scale."""

    def __init__(self, latent_dim: int, channels: int, side: int) -> None:
        super().__init__()
        self.maps = nn.Parameter(torch.randn(channels, side, side))
        self.scale = _without_bias(nn.Linear(latent_dim, channels, bias=False))

    def forward(self, latents: Tensor) -> Tensor:
        """Return each map multiplied by its scale."""
        output: Tensor = self.maps * self.scale(latents)[:, :, None, None]
        return output


def generator(latent_dim: int, image_shape: genbench.Shape, options: R3GANOptions) -> nn.Sequential:
    """Return the network from latents (B, latent_dim) to images (B, c, size, size) in [-1, 1]."""
    channels, size, _ = image_shape
    side, widths = stages(size, options.width)
    blocks = options.depth * len(widths)
    layers: list[nn.Module] = [LearntMaps(latent_dim, widths[0], side), *_blocks(widths[0], options.depth, blocks)]
    for inputs, outputs in pairwise(widths):
        # A 1×1 convolution and bilinear resizing commute; on the smaller maps the convolution costs a quarter.
        layers += [
            *_pointwise(inputs, outputs),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            *_blocks(outputs, options.depth, blocks),
        ]
    to_image = _without_bias(nn.Conv2d(widths[-1], channels, 1, bias=False))
    return nn.Sequential(*layers, to_image, nn.Tanh())


def discriminator(image_shape: genbench.Shape, options: R3GANOptions) -> nn.Sequential:
    """Return the network from images (B, c, size, size) to logits (B,)."""
    channels, size, _ = image_shape
    side, widths = stages(size, options.width)
    blocks = options.depth * len(widths)
    layers: list[nn.Module] = [_without_bias(nn.Conv2d(channels, widths[-1], 1, bias=False))]
    for outputs, inputs in reversed(list(pairwise(widths))):
        layers += [
            *_blocks(inputs, options.depth, blocks),
            nn.AvgPool2d(2),  # halving by bilinear interpolation is the mean of 2×2 pixels
            *_pointwise(inputs, outputs),
        ]
    return nn.Sequential(
        *layers,
        *_blocks(widths[0], options.depth, blocks),
        _without_bias(nn.Conv2d(widths[0], widths[0], side, groups=widths[0], bias=False)),  # 4w × 1 × 1
        nn.Flatten(),
        _without_bias(nn.Linear(widths[0], 1, bias=False)),
        nn.Flatten(0),
    )


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: R3GANOptions
) -> dict[str, nn.Module]:
    """Return the generator and the discriminator."""
    return {
        "generator": generator(latent_dim, image_shape, options),
        "discriminator": discriminator(image_shape, options),
    }


def stages(size: int, width: int) -> tuple[int, list[int]]:
    """Return the side of the smallest map, and the channels of the stages from the smallest to the largest."""
    side = 7 if size == 28 else 4
    doublings = (size // side).bit_length() - 1
    return side, [width * min(2**k, _WIDEST) for k in reversed(range(doublings + 1))]


def _blocks(channels: int, depth: int, blocks: int) -> list[nn.Module]:
    return [Block(channels, blocks) for _ in range(depth)]


def _pointwise(inputs: int, outputs: int) -> list[nn.Module]:
    """Return the convolution of a transition, or nothing if the number of channels stays the same."""
    return [] if inputs == outputs else [_without_bias(nn.Conv2d(inputs, outputs, 1, bias=False))]


def _without_bias(layer: nn.Conv2d | nn.Linear) -> nn.Module:
    """Initialise a layer that is not followed by an activation, so that it preserves the variance."""
    nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    return layer
