"""PixelCNN++ (Salimans et al. 2017, arXiv:1701.05517, section 2, figure 2), without weight normalisation and dropout.

Two streams of width F over images with a channel of ones: the vertical one sees the rows above a pixel, the horizontal
one also the pixels to the left. Both have the same blocks at three resolutions:

    first   vertical: Conv 2×3 of the row above; horizontal: Conv 1×3 of the row above + Conv 2×1 of the left pixel
    down    N blocks, Conv of stride 2, N blocks, Conv of stride 2, N blocks
    up      N blocks, transposed Conv, N + 1 blocks, transposed Conv, N + 1 blocks; each also receives a result of
            the way down
    last    Conv 1×1 of ELU(horizontal) to the parameters of a mixture of logistic distributions

    block   x + a σ(b), (a, b) = Conv φ(Conv φ(x) + Conv 1×1 φ(y)) + embedding of the label; φ(x) = ELU of (x, -x);
            Conv is 2×3 in the vertical stream and 2×2 in the horizontal one; y is the result of the way down, and in
            the horizontal stream also that of the vertical block
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, pad

import genbench
from genbench_autoregressive import PixelCNNOptions
from genbench_autoregressive.family import require_classes
from genbench_autoregressive.logistic_mixture import HIGHEST, draw, log_probability, outputs, split
from genbench_autoregressive.scan import CausalConv, Enlarge, Scan, halved, shift_down, shift_right

RESOLUTIONS = 3
_SMALL = 0.1  # scale of the initial weights of a block's last convolution, so that it starts close to the identity


def concat_elu(images: Tensor) -> Tensor:
    """Return ELU of x and of -x, (B, 2C, h, w)."""
    return elu(torch.cat([images, -images], 1))


class Block(nn.Module):
    """A residual block with a gate, which may receive further images and labels."""

    def __init__(self, width: int, further: int, level: int, num_classes: int, *, vertical: bool) -> None:
        super().__init__()
        kernel = (2, 3) if vertical else (2, 2)
        self.first = CausalConv(2 * width, width, kernel, level, centred=vertical)
        self.further = nn.Conv2d(2 * further, width, 1) if further else None
        self.last = CausalConv(2 * width, 2 * width, kernel, level, centred=vertical)
        self.of_labels = nn.Embedding(num_classes, 2 * width) if num_classes else None
        self.level = level
        with torch.no_grad():
            self.last.weight.mul_(_SMALL)
            if self.of_labels is not None:
                self.of_labels.weight.mul_(_SMALL)

    def forward(
        self, images: Tensor, further: Tensor | None, labels: Tensor | None, scan: Scan | None = None, width: int = 0
    ) -> Tensor:
        """Return images of the same shape; in a scan, those at the current position."""
        if scan is None:
            return self._compute(images, further, labels, None, 0)
        return scan.once(self, self.level, lambda: self._compute(images, further, labels, scan, width))

    def _compute(
        self, images: Tensor, further: Tensor | None, labels: Tensor | None, scan: Scan | None, width: int
    ) -> Tensor:
        hidden: Tensor = self.first(concat_elu(images), scan, width)
        if self.further is not None:
            assert further is not None
            hidden = hidden + self.further(concat_elu(further))
        gated = self.last(concat_elu(hidden), scan, width)
        if self.of_labels is not None:
            gated = gated + self.of_labels(labels)[:, :, None, None]
        change, gate = gated.chunk(2, 1)
        return images + change * gate.sigmoid()


class Stream(nn.Module):
    """The blocks of one stream."""

    def __init__(self, options: PixelCNNOptions, num_classes: int, *, vertical: bool) -> None:
        super().__init__()
        width, kernel = options.width, (2, 3) if vertical else (2, 2)
        levels = range(RESOLUTIONS)

        def blocks(count: int, level: int, further: int) -> nn.ModuleList:
            return nn.ModuleList(Block(width, further, level, num_classes, vertical=vertical) for _ in range(count))

        others = 0 if vertical else width  # the vertical stream's block
        self.down = nn.ModuleList(blocks(options.blocks, level, others) for level in levels)
        self.up = nn.ModuleList(
            blocks(options.blocks + (level < RESOLUTIONS - 1), level, others + width) for level in levels
        )
        self.shrink = nn.ModuleList(
            CausalConv(width, width, kernel, level, centred=vertical, stride=2) for level in levels[:-1]
        )
        self.enlarge = nn.ModuleList(Enlarge(width, kernel, level) for level in levels[:-1])

    def forward(
        self,
        first: Tensor,
        others: Sequence[Tensor],
        labels: Tensor | None,
        size: tuple[int, int],
        scan: Scan | None = None,
    ) -> list[Tensor]:
        """Return the results of all blocks, the last of which has the resolution of the images.

        Args:
            first: images (B, F, h, w) of the first layer; in a scan, those at the current position.
            others: for the horizontal stream, the results of the vertical one; in a scan, of whole rows.
            labels: (B,), for conditional models.
            size: height and width of the images.
            scan: the position; None: the whole images.
        """
        sizes = [size, halved(size), halved(halved(size))]
        value, kept, results = first, [first], list[Tensor]()

        def further(level: int) -> list[Tensor]:
            if not others:
                return []
            other = others[len(results)]
            if scan is not None:
                column = scan.column_of(level)
                other = other[..., column : column + 1]
            return [other]

        for level in range(RESOLUTIONS):
            for block in self.down[level]:  # type: ignore[attr-defined]
                given = further(level)
                value = block(value, given[0] if given else None, labels, scan, sizes[level][1])
                results.append(value)
                kept.append(value)
            if level < RESOLUTIONS - 1:
                value = self._shrink(value, level, sizes[level][1], scan)
                kept.append(value)
        kept.pop()
        for level in reversed(range(RESOLUTIONS)):
            for block in self.up[level]:  # type: ignore[attr-defined]
                given = torch.cat([*further(level), kept.pop()], 1)
                value = block(value, given, labels, scan, sizes[level][1])
                results.append(value)
            if level > 0:
                value = self.enlarge[level - 1](value, sizes[level - 1], scan)
        return results

    def _shrink(self, value: Tensor, level: int, width: int, scan: Scan | None) -> Tensor:
        """Return the images of the next level; in a scan, the latest ones."""
        layer = self.shrink[level]
        if scan is None or scan.due(level):
            found: Tensor = layer(value, scan, width)
            return found
        return scan.latest(layer, level + 1)


class PixelCNN(nn.Module):
    """The network: log P of images, and samples."""

    def __init__(self, image_shape: genbench.Shape, num_classes: int, options: PixelCNNOptions) -> None:
        super().__init__()
        self.image_shape = image_shape
        inputs, width = image_shape[0] + 1, options.width
        self.above = CausalConv(inputs, width, (2, 3), 0, centred=True)
        self.row_above = CausalConv(inputs, width, (1, 3), 0, centred=True)
        self.left = CausalConv(inputs, width, (2, 1), 0, centred=True)
        self.vertical = Stream(options, num_classes, vertical=True)
        self.horizontal = Stream(options, num_classes, vertical=False)
        self.last = nn.Conv2d(width, outputs(options.mixtures, image_shape[0]), 1)

    def forward(self, levels: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return log P of levels (B, c, h, w) in nats, (B,)."""
        return log_probability(split(self.parameters_of(levels, labels), self.image_shape[0]), levels)

    def parameters_of(self, levels: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return the parameters of the mixture of each pixel, (B, outputs, h, w)."""
        images, size = _with_ones(levels), self.image_shape[1:]
        below, right = shift_down(images), shift_right(images)
        others = self.vertical(self.above(below), [], labels, size)
        results = self.horizontal(self.row_above(below) + self.left(right), others, labels, size)
        found: Tensor = self.last(elu(results[-1]))
        return found

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return levels (count, c, h, w), drawn row by row; nothing is computed twice."""
        channels, height, width = self.image_shape
        levels = torch.zeros((count, *self.image_shape), device=self.last.weight.device)
        scan_rows, scan_pixels = Scan(), Scan()
        for row in range(height):
            scan_rows.row = scan_pixels.row = row
            above = _with_ones(levels[:, :, row - 1 : row]) if row else levels.new_zeros(count, channels + 1, 1, width)
            others = self.vertical(self.above(above, scan_rows, width), [], labels, (height, width), scan_rows)
            row_above = self.row_above(above)
            for column in range(width):
                scan_pixels.column = column
                left = levels.new_zeros(count, channels + 1, 1, 1)
                if column:
                    left = _with_ones(levels[:, :, row : row + 1, column - 1 : column])
                first = row_above[..., column : column + 1] + self.left(left, scan_pixels, width)
                results = self.horizontal(first, others, labels, (height, width), scan_pixels)
                mixture = split(self.last(elu(results[-1])), channels)
                levels[:, :, row : row + 1, column : column + 1] = draw(mixture, rng)
        return levels


def _with_ones(levels: Tensor) -> Tensor:
    """Return values in [-1, 1] and a channel of ones, which tells pixels from the padding."""
    return pad(levels / (HIGHEST / 2) - 1, (0, 0, 0, 0, 0, 1), value=1.0)


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: PixelCNNOptions
) -> Mapping[str, nn.Module]:
    """Return the network; `latent_dim` has no effect."""
    return {"predictor": PixelCNN(image_shape, 0, options)}


def build_conditional(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: PixelCNNOptions
) -> Mapping[str, nn.Module]:
    """Return the network of the conditional model; raise `GenbenchError` without classes."""
    require_classes("cpixelcnn-pp", num_classes)
    return {"predictor": PixelCNN(image_shape, num_classes, options)}
