"""A GAN that grows (Karras et al. 2018, arXiv:1710.10196): both networks start with the coarsest maps.

Level l has maps of s·2^l pixels, s = 4 (7 for 28 pixels), and c_l channels: the width, halved at each level above 32
pixels. Convolutions have an equalised learning rate (section 4.1).

    generator      z divided by its root mean square, dense to c_0 × s × s, Conv k3;
                   from level to level: upsample 2×, Conv k3, Conv k3; after each, LeakyReLU 0.2 and pixel norm
                   image of each level: Conv k1 of its maps, and upsampling to the full size
    discriminator  image, averaged to each level, Conv k1, LeakyReLU 0.2;
                   from level to level: Conv k3, Conv k3, mean over 2×2, with LeakyReLU 0.2 after each convolution;
                   at the coarsest: standard deviation of the minibatch as another map, Conv k3, dense c_0, dense 1

The level grows linearly with the progress of training, stage by stage: in the first part of stage l, by α from 0 to 1,

    image = tanh((1 - α) image of level l - 1 + α image of level l)                                 (figure 2)
    maps of level l - 1 in the discriminator = (1 - α) from its own image + α from level l

A stage is 1/(number of levels) of the part of the budget in which the networks grow (`grown`); then all are in full
use. The weights of all levels but two are 0, and so are their gradients: layers change only once they are in use, as
Adam's first step is that of their first gradient. But all of them are computed in each step, so that a step can be
captured, compiled and resumed. Growing therefore costs as much time as training at the full size throughout: the
savings of the paper are not to be had here. Real images are not faded, unlike in the authors' code, which was not
compared line by line, and the tanh is not theirs.

Parameters for w = 32: 28×28×1 248,611 and 96,961, 64×64×3 138,175 and 89,009 (generator, discriminator).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu, linear

import genbench
from genbench_adversarial import GrowingOptions

_SLOPE = 0.2
_FULL_WIDTH = 32  # side up to which maps have the full width


class Schedule(nn.Module):
    """The level in use as a function of the progress of training, and the weights of the levels that it implies."""

    level: Tensor  # in [0, levels - 1]: its whole part is in full use, and the next level by the fraction
    numbers: Tensor

    def __init__(self, levels: int, options: GrowingOptions) -> None:
        super().__init__()
        self.last, self.fade, self.grown = levels - 1, options.fade, options.grown
        self.register_buffer("level", torch.zeros(()))
        self.register_buffer("numbers", torch.arange(levels, dtype=torch.float32), persistent=False)

    def set_progress(self, progress: Tensor) -> None:
        """Set the level that belongs to this fraction of the budget.

        Each level has a stage of equal length; in the first `fade` of each stage after the first, it is faded in.
        """
        stage = progress * ((self.last + 1) / self.grown)
        faded = ((stage - stage.floor()) / self.fade).clamp(max=1)
        self.level.copy_((stage.floor() - 1 + faded).clamp(0, self.last))

    def weights(self) -> Tensor:
        """Return the weight of the image of each level, (levels,): at most two are not 0, and their sum is 1."""
        return (1 - (self.level - self.numbers).abs()).clamp(min=0)

    def shares(self) -> Tensor:
        """Return α of each level, (levels,): 0 before it is faded in, 1 when it is in full use."""
        return (self.level - self.numbers + 1).clamp(0, 1)


class Convolution(nn.Module):
    """Convolution that keeps height and width; weights N(0, 1), scaled by gain / √inputs in each pass (section 4.1)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale, self.padding = gain / math.sqrt(inputs * kernel**2), kernel // 2

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (B, outputs, h, w)."""
        return conv2d(maps, self.weight * self.scale, self.bias, padding=self.padding)


class Dense(nn.Module):
    """Dense layer with weights N(0, 1), scaled by gain / √inputs in each pass."""

    def __init__(self, inputs: int, outputs: int, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(outputs, inputs)), nn.Parameter(torch.zeros(outputs))
        self.scale = gain / math.sqrt(inputs)

    def forward(self, values: Tensor) -> Tensor:
        """Return values (B, outputs)."""
        return linear(values, self.weight * self.scale, self.bias)


class Generator(nn.Module):
    """From latents (B, latent_dim) to images (B, channels, size, size) in [-1, 1]."""

    def __init__(self, latent_dim: int, channels: int, size: int, options: GrowingOptions) -> None:
        super().__init__()
        sides, widths = levels(size, options.width)
        self.size, self.side = size, sides[0]
        self.schedule = Schedule(len(sides), options)
        self.dense = Dense(latent_dim, widths[0] * sides[0] ** 2, gain=math.sqrt(2) / 4)
        self.first = Convolution(widths[0], widths[0], 3)
        self.blocks = nn.ModuleList(
            nn.ModuleList([Convolution(inputs, outputs, 3), Convolution(outputs, outputs, 3)])
            for inputs, outputs in pairwise(widths)
        )
        self.images = nn.ModuleList(Convolution(width, channels, 1, gain=1.0) for width in widths)

    def set_progress(self, progress: Tensor) -> None:
        """Grow."""
        self.schedule.set_progress(progress)

    def forward(self, latents: Tensor) -> Tensor:
        """Return the images at the present level, in the full size."""
        weights = self.schedule.weights()
        maps = _active(self.dense(pixel_norm(latents)).unflatten(1, (-1, self.side, self.side)))
        maps = pixel_norm(_active(self.first(maps)))
        mixed = weights[0] * self._image(0, maps)
        for level, block in enumerate(self.blocks, 1):
            maps = interpolate(maps, scale_factor=2.0)
            for convolution in block:  # type: ignore[attr-defined]
                maps = pixel_norm(_active(convolution(maps)))
            mixed = mixed + weights[level] * self._image(level, maps)
        return mixed.tanh()

    def _image(self, level: int, maps: Tensor) -> Tensor:
        image: Tensor = interpolate(self.images[level](maps), size=(self.size, self.size))
        return image


class Discriminator(nn.Module):
    """From images (B, channels, size, size) to logits (B,)."""

    def __init__(self, channels: int, size: int, options: GrowingOptions) -> None:
        super().__init__()
        sides, widths = levels(size, options.width)
        self.schedule = Schedule(len(sides), options)
        self.images = nn.ModuleList(Convolution(channels, width, 1) for width in widths)
        self.blocks = nn.ModuleList(
            nn.ModuleList([Convolution(outputs, outputs, 3), Convolution(outputs, inputs, 3)])
            for inputs, outputs in pairwise(widths)
        )
        self.last = Convolution(widths[0] + 1, widths[0], 3)
        self.hidden = Dense(widths[0] * sides[0] ** 2, widths[0])
        self.logit = Dense(widths[0], 1, gain=1.0)

    def set_progress(self, progress: Tensor) -> None:
        """Grow."""
        self.schedule.set_progress(progress)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits."""
        shares, top = self.schedule.shares(), len(self.blocks)
        maps = _active(self.images[top](images))
        for level in range(top, 0, -1):
            for convolution in self.blocks[level - 1]:  # type: ignore[union-attr]
                maps = _active(convolution(maps))
            seen = avg_pool2d(images, 2 ** (top - level + 1))
            maps = torch.lerp(_active(self.images[level - 1](seen)), avg_pool2d(maps, 2), shares[level].to(maps.dtype))
        maps = _active(self.last(torch.cat([maps, deviation(maps)], dim=1)))
        logits: Tensor = self.logit(_active(self.hidden(maps.flatten(1))))
        return logits.squeeze(1)


def levels(size: int, width: int) -> tuple[list[int], list[int]]:
    """Return the side and the channels of the maps of each level, the coarsest first."""
    first = 7 if size == 28 else 4
    sides = [first << level for level in range((size // first).bit_length())]
    return sides, [max(1, width * _FULL_WIDTH // max(side, _FULL_WIDTH)) for side in sides]


def pixel_norm(maps: Tensor) -> Tensor:
    """Divide the channels of each place by their root mean square (section 4.2)."""
    normalised: Tensor = maps * (maps.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    return normalised


def deviation(maps: Tensor) -> Tensor:
    """Return one more map (B, 1, h, w): the standard deviation over the batch, averaged over all values (section 3)."""
    spread = (maps.float().var(0, correction=0) + 1e-8).sqrt().mean().to(maps.dtype)
    return spread.expand(len(maps), 1, *maps.shape[2:])


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: GrowingOptions
) -> dict[str, nn.Module]:
    """Return the generator and the discriminator."""
    channels, size, _ = image_shape
    return {
        "generator": Generator(latent_dim, channels, size, options),
        "discriminator": Discriminator(channels, size, options),
    }


def _active(maps: Tensor) -> Tensor:
    return leaky_relu(maps, _SLOPE)
