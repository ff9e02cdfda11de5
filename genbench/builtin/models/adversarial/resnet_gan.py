"""ResNet GAN: the residual networks of Gulrajani et al. 2017, laid out as in Miyato et al. 2018 (tables 4 and 5).

    generator      dense -> G0 × 4 × 4, blocks up, batch norm, ReLU, Conv k3 -> c, tanh
    block up       batch norm, ReLU, upsample 2×, Conv k3, batch norm, ReLU, Conv k3      + upsample 2×, Conv k1
    discriminator  blocks down and flat, ReLU, sum over the map, dense -> logit
    block down     ReLU, Conv k3, ReLU, Conv k3, mean over 2×2                            + Conv k1, mean over 2×2
    block flat     the same without the mean; the shortcut is the identity
    first block    without the first ReLU, as its input is the image

    size  generator, G0 and up  discriminator, down and flat  parameters for width w = 64, c = 3
     32   4w, 4w 4w 4w          2w 2w, 2w 2w                  4,276,739  1,053,825
     64   8w, 8w 4w 2w w        w 2w 4w 8w, 8w                8,541,443  9,578,689

The channels at 64 pixels are those of Gulrajani et al. Every layer of the discriminator has spectral norm. With
norm = layer, a layer norm precedes each ReLU except in the first block and the last one (Gulrajani et al., for wgan-gp,
where batch norm would couple the images of a batch); with norm = none there is no normalisation. Weights are
Glorot-uniform, times √2 in the 3×3 convolutions of the blocks.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, TypeAlias, TypeVar

from torch import Tensor, nn

import genbench
from genbench.builtin.models.adversarial import ResNetGANOptions
from genbench.builtin.models.adversarial.spectral_norm import normalise_spectrally

Norm: TypeAlias = Literal["spectral", "layer", "none"]
_Layer = TypeVar("_Layer", nn.Conv2d, nn.Linear)


class UpBlock(nn.Module):
    """Residual block from maps (B, inputs, s, s) to (B, outputs, 2s, 2s)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
            _convolution(inputs, outputs),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            _convolution(outputs, outputs),
        )
        # A 1×1 convolution and nearest-neighbour upsampling commute; this order takes a quarter of the operations.
        self.shortcut = nn.Sequential(_pointwise(inputs, outputs), nn.Upsample(scale_factor=2))

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of twice the height and width."""
        output: Tensor = self.residual(maps) + self.shortcut(maps)
        return output


class DownBlock(nn.Module):
    """Residual block from maps (B, inputs, s, s) to (B, outputs, s/2, s/2), or of the same size where it is flat."""

    def __init__(self, inputs: int, outputs: int, norm: Norm, *, first: bool = False, down: bool = True) -> None:
        super().__init__()
        halved = [nn.AvgPool2d(2)] if down else []
        self.residual = nn.Sequential(
            *([] if first else _activation(inputs, norm)),
            _convolution(inputs, outputs),
            *_activation(outputs, "none" if first else norm),
            _convolution(outputs, outputs),
            *halved,
        )
        # A 1×1 convolution and a mean over pixels commute; this order takes a quarter of the operations.
        changes = down or inputs != outputs
        self.shortcut = nn.Sequential(*halved, _pointwise(inputs, outputs)) if changes else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of half the height and width, or of the same size."""
        output: Tensor = self.residual(maps) + self.shortcut(maps)
        return output


def generator(latent_dim: int, channels: int, size: int, width: int) -> nn.Sequential:
    """Return the network from latents (B, latent_dim) to images (B, c, size, size) in [-1, 1]."""
    widths = [width * factor for factor in ((4, 4, 4, 4) if size == 32 else (8, 8, 4, 2, 1))]
    return nn.Sequential(
        _dense(latent_dim, widths[0] * 4 * 4),
        nn.Unflatten(1, (widths[0], 4, 4)),
        *(UpBlock(inputs, outputs) for inputs, outputs in pairwise(widths)),
        nn.BatchNorm2d(widths[-1]),
        nn.ReLU(),
        _convolution(widths[-1], channels, gain=1.0),
        nn.Tanh(),
    )


class Discriminator(nn.Module):
    """From images (B, c, size, size) to logits (B,)."""

    def __init__(self, channels: int, size: int, width: int, norm: Norm) -> None:
        super().__init__()
        factors, downs = ((2, 2, 2, 2), 2) if size == 32 else ((1, 2, 4, 8, 8), 4)
        widths = [channels, *(width * factor for factor in factors)]
        self.blocks = nn.Sequential(
            *(
                DownBlock(inputs, outputs, norm, first=index == 0, down=index < downs)
                for index, (inputs, outputs) in enumerate(pairwise(widths))
            ),
            nn.ReLU(),
        )
        self.logit = _dense(widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.logit(self.blocks(images).sum(dim=(2, 3)))
        return logits.squeeze(1)


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: ResNetGANOptions
) -> dict[str, nn.Module]:
    """Return the generator and the discriminator."""
    channels, size, _ = image_shape
    discriminator = Discriminator(channels, size, options.width, options.norm)
    if options.norm == "spectral":
        normalise_spectrally(discriminator)
    return {"generator": generator(latent_dim, channels, size, options.width), "discriminator": discriminator}


def _activation(channels: int, norm: Norm) -> list[nn.Module]:
    normalised: list[nn.Module] = [nn.GroupNorm(1, channels)] if norm == "layer" else []  # one group: layer norm
    return [*normalised, nn.ReLU()]


def _convolution(inputs: int, outputs: int, gain: float = math.sqrt(2)) -> nn.Conv2d:
    return _glorot(nn.Conv2d(inputs, outputs, 3, 1, 1), gain)


def _pointwise(inputs: int, outputs: int) -> nn.Conv2d:
    return _glorot(nn.Conv2d(inputs, outputs, 1), 1.0)


def _dense(inputs: int, outputs: int) -> nn.Linear:
    return _glorot(nn.Linear(inputs, outputs), 1.0)


def _glorot(layer: _Layer, gain: float) -> _Layer:
    nn.init.xavier_uniform_(layer.weight, gain)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
