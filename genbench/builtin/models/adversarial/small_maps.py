"""Convolutions of small maps with many channels, computed as matrix products.

Convolution libraries are optimised for kernels that slide over many positions. The smallest maps of a DCGAN have one or
sixteen of them, and on a CPU the weights, which exceed every cache, are read again for each image. One product over all
images of the batch reads them once. Milliseconds for a batch of 64 on one thread of a Xeon with AVX-512 (float32 and
bfloat16), with torch's convolution and with these layers:

                            forward         gradient of the maps   of the weights
    256×8×8 -> 512×4×4      35.5 -> 22.5    40.5 -> 24             48.0 -> 21.2     float32
                            10.2 ->  3.7    17.6 ->  5             34.6 ->  5.4     bfloat16
    100×1×1 -> 512×4×4       8.1 ->  0.6    forward and backward: 17.7 -> 1.2       float32

The layers keep the names, shapes and initial values of the weights. On other devices they are torch's convolutions,
and on a CPU too where `as_product` is false: the tuner of the step sets it if the convolution is faster.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

_ALL, _FIRST, _LAST = slice(None), slice(None, -1), slice(1, None)
# Row 2i + place - 1 of a map is row `place` of patch i. For each place: the parity of the map's row, and the slices of
# the map's rows of that parity and of the patches that correspond:
_PLACES = ((0, 1, _FIRST, _LAST), (1, 0, _ALL, _ALL), (2, 1, _ALL, _ALL), (3, 0, _LAST, _FIRST))


class FromPixel(nn.ConvTranspose2d):
    """A transposed convolution from one pixel (B, inputs, 1, 1) to maps (B, outputs, k, k); no bias."""

    as_product = True

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, 1, 0, bias=False)

    def forward(self, pixels: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the maps, on a CPU in channels_last."""
        if pixels.device.type != "cpu" or not self.as_product:
            return super().forward(pixels, output_size)
        inputs, outputs, height, width = self.weight.shape
        product = pixels.flatten(1) @ self.weight.permute(0, 2, 3, 1).reshape(inputs, -1)
        return product.view(-1, height, width, outputs).permute(0, 3, 1, 2)


class ToPixel(nn.Conv2d):
    """A convolution from maps (B, inputs, k, k) of the kernel's size to one pixel (B, outputs, 1, 1); no bias."""

    as_product = True

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, 1, 0, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the pixel; raises RuntimeError where the maps do not have the kernel's size."""
        if maps.device.type != "cpu" or not self.as_product:
            return super().forward(maps)
        rows = maps.permute(0, 2, 3, 1).flatten(1)
        columns = self.weight.permute(0, 2, 3, 1).flatten(1)
        return (rows @ columns.t()).view(len(maps), -1, 1, 1)


class Halving(nn.Conv2d):
    """A convolution of kernel 4, stride 2 and padding 1, to maps of half the height and width; no bias."""

    as_product = True

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 4, 2, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (B, outputs, height/2, width/2), on a CPU in channels_last; height and width are even."""
        if maps.device.type != "cpu" or not self.as_product:
            return super().forward(maps)
        count, _, height, width = maps.shape
        weights = self.weight.permute(0, 2, 3, 1).flatten(1)
        patches: Tensor = _Patches.apply(maps)
        return (patches @ weights.t()).view(count, height // 2, width // 2, -1).permute(0, 3, 1, 2)


class Doubling(nn.ConvTranspose2d):
    """A transposed convolution of kernel 4, stride 2 and padding 1, to maps of twice the height and width; no bias."""

    as_product = True

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 4, 2, 1, bias=False)

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return maps (B, outputs, 2·height, 2·width), on a CPU in channels_last."""
        if maps.device.type != "cpu" or not self.as_product:
            return super().forward(maps, output_size)
        count, inputs, height, width = maps.shape
        weights = self.weight.permute(0, 2, 3, 1).reshape(inputs, -1)
        patches = maps.permute(0, 2, 3, 1).reshape(-1, inputs) @ weights
        doubled: Tensor = _Overlap.apply(patches, (count, height, width))
        return doubled


def cut_patches(maps: Tensor) -> Tensor:
    """Return the 4×4 patches, at stride 2, of maps (B, C, 2h, 2w) with a border of zeros: (B·h·w, 16·C).

    The values of a patch are in row order, with the channels of each pixel together.
    """
    count, channels, height, width = maps.shape
    framed = pad(maps.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1)).contiguous()
    image, row, pixel, channel = framed.stride()
    shape = (count, height // 2, width // 2, 4, 4, channels)
    cut = framed.as_strided(shape, (image, 2 * row, 2 * pixel, row, pixel, channel))
    return cut.reshape(-1, 16 * channels)


def add_patches(patches: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Sum patches (B·h·w, 16·C) at their positions in maps (B, C, 2h, 2w) without the border: the adjoint of cutting.

    `grid` is (B, h, w). Sums are computed in float32 at least.
    """
    count, height, width = grid
    cut = patches.view(count, height, width, 4, 4, -1)
    precise = torch.promote_types(patches.dtype, torch.float32)
    laid = torch.zeros((count, height, 2, width, 2, cut.shape[-1]), dtype=precise, device=patches.device)
    for row, row_parity, rows_to, rows_from in _PLACES:
        for column, column_parity, columns_to, columns_from in _PLACES:
            laid[:, rows_to, row_parity, columns_to, column_parity] += cut[:, rows_from, columns_from, row, column]
    return laid.view(count, 2 * height, 2 * width, -1).to(patches.dtype).permute(0, 3, 1, 2)


class _Patches(torch.autograd.Function):
    """`cut_patches`, whose gradient is `add_patches`: both are linear, and each is the other's adjoint."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        count, _, height, width = maps.shape
        ctx.grid = (count, height // 2, width // 2)
        return cut_patches(maps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _Overlap.apply(gradient, ctx.grid)


class _Overlap(torch.autograd.Function):
    """`add_patches`, whose gradient is `cut_patches`."""

    @staticmethod
    def forward(ctx: Any, patches: Tensor, grid: tuple[int, int, int]) -> Tensor:
        return add_patches(patches, grid)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return _Patches.apply(gradient), None
