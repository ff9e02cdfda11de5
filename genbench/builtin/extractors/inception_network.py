"""The Inception network of 2015-12-05, which defines FID, in torch.

The architecture is that of Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision", as the
published weights need it: averages do not count the padding, and the last block takes a maximum in place of an average.
Layers have their names in the weights. Tests hold the features equal, bit by bit, to those of pytorch-fid and
torch-fidelity, which build it on the network of torchvision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Layer:
    """A convolution with batch norm and ReLU; it keeps height and width if its stride is 1 and `padded`."""

    name: str
    channels: int
    kernel: int | tuple[int, int] = 1
    stride: int = 1
    padded: bool = True


Chain: TypeAlias = Sequence[Layer | tuple[Layer, Layer]]  # one after the other; a pair: side by side, at the end


class Convolution(nn.Module):
    """Images (N, channels, H, W) to (N, layer.channels, H', W')."""

    def __init__(self, channels: int, layer: Layer) -> None:
        """Build the layer for this number of input channels."""
        super().__init__()
        kernel = (layer.kernel, layer.kernel) if isinstance(layer.kernel, int) else layer.kernel
        padding = (kernel[0] // 2, kernel[1] // 2) if layer.padded and layer.stride == 1 else (0, 0)
        self.conv = nn.Conv2d(channels, layer.channels, kernel, layer.stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(layer.channels, eps=0.001)

    def forward(self, images: Tensor) -> Tensor:
        """Return the activations."""
        return F.relu(self.bn(self.conv(images)), inplace=True)


@dataclass(frozen=True)
class Mixture:
    """Chains of convolutions side by side, and a pooling; their outputs are joined by channel."""

    chains: Sequence[Chain]
    maximum: bool = False  # the pooling is a maximum, not an average
    halves: bool = False  # it halves height and width, as the last layers of the chains do
    pooled: Layer | None = None  # a convolution behind the pooling

    def layers(self) -> Iterable[Layer]:
        """All convolutions."""
        for chain in self.chains:
            for step in chain:
                yield from (step,) if isinstance(step, Layer) else step
        if self.pooled is not None:
            yield self.pooled


class Mixed(nn.Module):
    """Images (N, channels, H, W) to the joined outputs of a mixture."""

    def __init__(self, channels: int, mixture: Mixture) -> None:
        """Build the mixture for this number of input channels."""
        super().__init__()
        self.mixture, self.channels = mixture, 0
        for chain in mixture.chains:
            before = channels
            for step in chain:
                side_by_side = (step,) if isinstance(step, Layer) else step
                for layer in side_by_side:
                    setattr(self, layer.name, Convolution(before, layer))
                before = sum(layer.channels for layer in side_by_side)
            self.channels += before
        if mixture.pooled is not None:
            setattr(self, mixture.pooled.name, Convolution(channels, mixture.pooled))
        self.channels += channels if mixture.pooled is None else mixture.pooled.channels

    def forward(self, images: Tensor) -> Tensor:
        """Return the joined outputs (N, channels, H', W')."""
        joined = []
        for chain in self.mixture.chains:
            values = [images]
            for step in chain:
                side_by_side = (step,) if isinstance(step, Layer) else step
                values = [getattr(self, layer.name)(values[0]) for layer in side_by_side]
            joined += values
        pooled = self._pool(images)
        return torch.cat([*joined, pooled], 1)

    def _pool(self, images: Tensor) -> Tensor:
        if self.mixture.halves:
            return F.max_pool2d(images, 3, stride=2)
        if self.mixture.maximum:
            pooled = F.max_pool2d(images, 3, stride=1, padding=1)
        else:
            pooled = F.avg_pool2d(images, 3, stride=1, padding=1, count_include_pad=False)
        assert self.mixture.pooled is not None
        found: Tensor = getattr(self, self.mixture.pooled.name)(pooled)
        return found


def _thirty_five(pooled: int) -> Mixture:
    """Return a block of the maps of 35×35."""
    return Mixture(
        [
            [Layer("branch1x1", 64)],
            [Layer("branch5x5_1", 48), Layer("branch5x5_2", 64, 5)],
            [Layer("branch3x3dbl_1", 64), Layer("branch3x3dbl_2", 96, 3), Layer("branch3x3dbl_3", 96, 3)],
        ],
        pooled=Layer("branch_pool", pooled),
    )


def _seventeen(width: int) -> Mixture:
    """Return a block of the maps of 17×17, with 7×7 convolutions in two parts."""
    row, column = (1, 7), (7, 1)
    return Mixture(
        [
            [Layer("branch1x1", 192)],
            [Layer("branch7x7_1", width), Layer("branch7x7_2", width, row), Layer("branch7x7_3", 192, column)],
            [
                Layer("branch7x7dbl_1", width),
                Layer("branch7x7dbl_2", width, column),
                Layer("branch7x7dbl_3", width, row),
                Layer("branch7x7dbl_4", width, column),
                Layer("branch7x7dbl_5", 192, row),
            ],
        ],
        pooled=Layer("branch_pool", 192),
    )


def _eight(maximum: bool) -> Mixture:
    """Return a block of the maps of 8×8."""
    row, column = (1, 3), (3, 1)
    return Mixture(
        [
            [Layer("branch1x1", 320)],
            [Layer("branch3x3_1", 384), (Layer("branch3x3_2a", 384, row), Layer("branch3x3_2b", 384, column))],
            [
                Layer("branch3x3dbl_1", 448),
                Layer("branch3x3dbl_2", 384, 3),
                (Layer("branch3x3dbl_3a", 384, row), Layer("branch3x3dbl_3b", 384, column)),
            ],
        ],
        maximum=maximum,
        pooled=Layer("branch_pool", 192),
    )


_TO_SEVENTEEN = Mixture(
    [
        [Layer("branch3x3", 384, 3, stride=2)],
        [Layer("branch3x3dbl_1", 64), Layer("branch3x3dbl_2", 96, 3), Layer("branch3x3dbl_3", 96, 3, stride=2)],
    ],
    halves=True,
)
_TO_EIGHT = Mixture(
    [
        [Layer("branch3x3_1", 192), Layer("branch3x3_2", 320, 3, stride=2)],
        [
            Layer("branch7x7x3_1", 192),
            Layer("branch7x7x3_2", 192, (1, 7)),
            Layer("branch7x7x3_3", 192, (7, 1)),
            Layer("branch7x7x3_4", 192, 3, stride=2),
        ],
    ],
    halves=True,
)

# By the points between them, at which pytorch-fid's --dims chooses features: convolutions alone, then mixtures.
_BLOCKS: tuple[Mapping[str, Layer | Mixture], ...] = (
    {
        "Conv2d_1a_3x3": Layer("", 32, 3, stride=2),
        "Conv2d_2a_3x3": Layer("", 32, 3, padded=False),
        "Conv2d_2b_3x3": Layer("", 64, 3),
    },
    {"Conv2d_3b_1x1": Layer("", 80), "Conv2d_4a_3x3": Layer("", 192, 3, padded=False)},
    {
        "Mixed_5b": _thirty_five(32),
        "Mixed_5c": _thirty_five(64),
        "Mixed_5d": _thirty_five(64),
        "Mixed_6a": _TO_SEVENTEEN,
        "Mixed_6b": _seventeen(128),
        "Mixed_6c": _seventeen(160),
        "Mixed_6d": _seventeen(160),
        "Mixed_6e": _seventeen(192),
    },
    {"Mixed_7a": _TO_EIGHT, "Mixed_7b": _eight(maximum=False), "Mixed_7c": _eight(maximum=True)},
)


class InceptionNetwork(nn.Module):
    """Images (N, 3, 299, 299), prepared for the network, to features (N, 2048, 1, 1), in four blocks."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        """Build the layers with these weights; raise what torch raises for weights that do not fit."""
        super().__init__()
        layers, blocks, channels = nn.ModuleDict(), [], 3
        for block in _BLOCKS:
            for name, layer in block.items():
                if isinstance(layer, Layer):
                    layers[name], channels = Convolution(channels, layer), layer.channels
                else:
                    mixed = Mixed(channels, layer)
                    layers[name], channels = mixed, mixed.channels
            blocks.append([layers[name] for name in block])
        layers.load_state_dict({name: value for name, value in state.items() if not name.startswith("fc.")})
        pooling: list[list[nn.Module]] = [[nn.MaxPool2d(3, stride=2)], [nn.MaxPool2d(3, stride=2)], []]
        pooling.append([nn.AdaptiveAvgPool2d(1)])
        pairs = zip(blocks, pooling, strict=True)
        self.blocks = nn.ModuleList([nn.Sequential(*each, *pool) for each, pool in pairs])

    def forward(self, images: Tensor) -> Tensor:
        """Return the features of the last block."""
        for block in self.blocks:
            images = block(images)
        return images
