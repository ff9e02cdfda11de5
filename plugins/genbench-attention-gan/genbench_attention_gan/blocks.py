"""What SAGAN and BigGAN share: the stages of each image size, residual blocks, and the discriminator.

Width w; maps are s × s at the coarsest stage, and twice as large after each block up.

    size  s  channels of the generator's stages  of the discriminator's blocks, the last of which is flat
     28   7  4w 2w w                             w 2w, 2w
     32   4  8w 4w 2w w                          w 2w 4w, 4w
     64   4  16w 8w 4w 2w w                      w 2w 4w 8w, 8w
    128   4  16w 16w 8w 4w 2w w                  w 2w 4w 8w 16w, 16w

    block up       norm, ReLU, upsample 2×, Conv k3, norm, ReLU, Conv k3      + upsample 2×, Conv k1
    block down     ReLU, Conv k3, ReLU, Conv k3, mean over 2×2                + Conv k1, mean over 2×2
    block flat     ReLU, Conv k3, ReLU, Conv k3                               + identity
    first block    without the first ReLU, as its input is the image
    discriminator  blocks down and flat, ReLU, sum over the map to φ (C values), D(x) = ψ·φ + b;
                   with labels D(x, y) = ψ·φ + b + V_y·φ (Miyato & Koyama 2018, arXiv:1802.05637, equation 3)

Self-attention acts on the maps of half or a quarter of the image's side, between two blocks. Every layer of the
discriminator has spectral norm, and so has every dense and convolutional layer of the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from genbench_attention_gan.attention import SelfAttention
from genbench_attention_gan.spectral_norm import normalise

_SHARES = {"half": 2, "quarter": 4, "none": 0}


def stages(size: int) -> tuple[int, list[int]]:
    """Return the side of the coarsest maps, and the generator's channels as multiples of the width, coarsest first."""
    side = 7 if size == 28 else 4
    doublings = (size // side).bit_length() - 1
    return side, [16, 16, 8, 4, 2, 1][-doublings - 1 :]


def attention_side(size: int, attention: str) -> int:
    """Return the side of the maps with attention; 0 if there are none."""
    share = _SHARES[attention]
    return size // share if share else 0


class BatchNorm(nn.Module):
    """Batch norm whose gains and shifts are functions of a condition (B, …); without them, a gain and shift each.

    With γ(c) = centre + gain(c) and β(c) = shift(c): γ(c) (x - mean) / std + β(c).
    """

    def __init__(
        self, channels: int, gain: nn.Module | None = None, shift: nn.Module | None = None, centre: float = 0.0
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=gain is None)
        self.gain, self.shift, self.centre = gain, shift, centre

    def forward(self, maps: Tensor, condition: Tensor | None) -> Tensor:
        """Return normalised maps (B, channels, h, w)."""
        normalised: Tensor = self.norm(maps)
        if self.gain is None or self.shift is None:
            return normalised
        gain, shift = self.centre + self.gain(condition), self.shift(condition)
        return normalised * gain[:, :, None, None] + shift[:, :, None, None]


class UpBlock(nn.Module):
    """Residual block from maps (B, inputs, s, s) to (B, outputs, 2s, 2s); `norm` makes the norm of so many channels."""

    def __init__(self, inputs: int, outputs: int, norm: Callable[[int], BatchNorm]) -> None:
        super().__init__()
        self.first_norm, self.second_norm = norm(inputs), norm(outputs)
        self.first, self.second = nn.Conv2d(inputs, outputs, 3, 1, 1), nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)
        self.activation = nn.ReLU()

    def forward(self, maps: Tensor, condition: Tensor | None) -> Tensor:
        """Return maps of twice the height and width."""
        hidden = interpolate(self.activation(self.first_norm(maps, condition)), scale_factor=2.0)
        hidden = self.second(self.activation(self.second_norm(self.first(hidden), condition)))
        # A 1×1 convolution and nearest-neighbour upsampling commute; this order takes a quarter of the operations.
        result: Tensor = hidden + interpolate(self.shortcut(maps), scale_factor=2.0)
        return result


class DownBlock(nn.Module):
    """Residual block from maps (B, inputs, s, s) to (B, outputs, s/2, s/2), or of the same size where it is flat."""

    def __init__(self, inputs: int, outputs: int, *, first: bool = False, down: bool = True) -> None:
        super().__init__()
        halved = [nn.AvgPool2d(2)] if down else []
        self.residual = nn.Sequential(
            *([] if first else [nn.ReLU()]),
            nn.Conv2d(inputs, outputs, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1),
            *halved,
        )
        # A 1×1 convolution and a mean over pixels commute; this order takes a quarter of the operations.
        self.shortcut = nn.Sequential(*halved, nn.Conv2d(inputs, outputs, 1)) if down else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of half the height and width, or of the same size."""
        result: Tensor = self.residual(maps) + self.shortcut(maps)
        return result


class Discriminator(nn.Module):
    """From images (B, c, size, size) to logits (B,), with labels (B,) if there are classes."""

    def __init__(self, channels: int, size: int, width: int, attention: str, num_classes: int) -> None:
        super().__init__()
        side, factors = stages(size)
        downs = len(factors) - 1
        widths = [width * 2**level for level in range(downs)]
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise([channels, *widths, widths[-1]])):
            layers.append(DownBlock(inputs, outputs, first=index == 0, down=index < downs))
            if index < downs and side << (downs - 1 - index) == attention_side(size, attention):
                layers.append(SelfAttention(outputs))
        self.blocks = nn.Sequential(*layers, nn.ReLU())
        self.logit = nn.Linear(widths[-1], 1)  # ψ, b
        self.projection = nn.Embedding(num_classes, widths[-1]) if num_classes else None  # V

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return logits."""
        features = self.blocks(images).sum(dim=(2, 3))
        logits: Tensor = self.logit(features).squeeze(1)
        return logits if self.projection is None else logits + (self.projection(labels) * features).sum(1)


class Generator(nn.Module):
    """The stages of a generator: coarsest maps (B, C, s, s) and a condition for the norms to images in [-1, 1]."""

    def __init__(
        self, channels: int, size: int, width: int, attention: str, norms: Callable[[int, int], BatchNorm]
    ) -> None:
        """Create the stages; `norms(stage, channels)` makes the norms of the blocks, whose stages count from 0."""
        super().__init__()
        side, factors = stages(size)
        widths = [width * factor for factor in factors]
        self.blocks = nn.ModuleList()
        for stage, (inputs, outputs) in enumerate(pairwise(widths)):
            self.blocks.append(UpBlock(inputs, outputs, partial(norms, stage)))
        sides = [side << stage for stage in range(len(widths))]
        wanted = attention_side(size, attention)
        self.stage = sides.index(wanted) if wanted else None  # whose input maps are attended to
        self.attention = None if self.stage is None else SelfAttention(widths[self.stage])
        self.image = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, channels, 3, 1, 1), nn.Tanh())

    def forward(self, maps: Tensor, conditions: Sequence[Tensor | None]) -> Tensor:
        """Return images; there is one condition for each block."""
        for stage, block in enumerate(self.blocks):
            if self.attention is not None and stage == self.stage:
                maps = self.attention(maps)
            maps = block(maps, conditions[stage])
        images: Tensor = self.image(maps)
        return images


def discriminator(
    image_shape: tuple[int, int, int],
    width: int,
    attention: str,
    num_classes: int,
    initialise: Callable[[nn.Module], None],
) -> Discriminator:
    """Return a discriminator with spectral norm in every layer; without classes it takes no labels."""
    channels, size, _ = image_shape
    network = Discriminator(channels, size, width, attention, num_classes).apply(initialise)
    return normalise(network, nn.Conv2d, nn.Linear, nn.Embedding)


def zero_biases(layer: nn.Module) -> None:
    """Set the biases of dense and convolutional layers to 0."""
    if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
        with torch.no_grad():
            layer.bias.zero_()
