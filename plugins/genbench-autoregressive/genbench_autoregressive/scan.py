"""Running causal convolutions pixel by pixel, with each result computed once.

Drawing an image needs a prediction after each pixel. Evaluating the network again would repeat nearly all of its work,
so each convolution keeps the rows of its input that it still needs (Ramachandran et al. 2017, arXiv:1704.06001).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import conv2d, pad


class Scan:
    """How far images have been drawn, and what layers keep until then.

    `row` and `column` count at the resolution of the images; a column of None is a whole row. Level l has images whose
    sides are halved l times: its rows and columns change with every 2^l-th of the images.
    """

    def __init__(self) -> None:
        self.row = 0
        self.column: int | None = None
        self._rows: dict[nn.Module, Tensor] = {}
        self._results: dict[tuple[nn.Module, int], Tensor] = {}  # by layer and column of its level

    def due(self, level: int) -> bool:
        """Return whether a new position of this level has been reached."""
        size = 1 << level
        return self.row % size == 0 and (self.column or 0) % size == 0

    def part(self, level: int) -> tuple[int, int]:
        """Return which of the 2 × 2 places this is that a position of the next level has."""
        return (self.row >> level) & 1, ((self.column or 0) >> level) & 1

    def column_of(self, level: int) -> int:
        """Return the column at this level."""
        return (self.column or 0) >> level

    def once(self, layer: nn.Module, level: int, compute: Callable[[], Tensor]) -> Tensor:
        """Return the layer's result at the current position of a level, computing it when that has been reached."""
        place = layer, self.column_of(level)
        if self.due(level):
            self._results[place] = compute()
        return self._results[place]

    def latest(self, layer: nn.Module, level: int) -> Tensor:
        """Return the layer's last result at this column of a level."""
        return self._results[layer, self.column_of(level)]

    def rows(self, layer: nn.Module, values: Tensor, level: int, height: int, left: int, width: int) -> Tensor:
        """Return the last rows of a layer's input, (B, C, height, width), with values (B, C, 1, w) put in their place.

        Called once for each position of the level; rows before the first are zero.
        """
        column = self.column_of(level)
        if layer not in self._rows:
            self._rows[layer] = values.new_zeros((*values.shape[:2], height, width))
        elif column == 0:
            self._rows[layer] = pad(self._rows[layer][:, :, 1:], (0, 0, 0, 1))
        rows = self._rows[layer]
        rows[:, :, -1:, left + column : left + column + values.shape[3]] = values
        return rows


class CausalConv(nn.Conv2d):
    """A convolution over this row and those above it, padded on top and on the left, and with `centred` on both sides.

    With a stride of 2 its outputs are at the next level.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: tuple[int, int], level: int, *, centred: bool, stride: int = 1
    ) -> None:
        super().__init__(inputs, outputs, kernel, stride)
        self.level = level
        self.top, sides = kernel[0] - 1, kernel[1] - 1
        self.left, self.right = (sides // 2, sides // 2) if centred else (sides, 0)

    def forward(self, values: Tensor, scan: Scan | None = None, width: int = 0) -> Tensor:
        """Return the outputs for images (B, C, h, w), or at the current position of a scan of images of this width."""
        if scan is None:
            return super().forward(pad(values, (self.left, self.right, self.top, 0)))
        rows = scan.rows(self, values, self.level, self.kernel_size[0], self.left, self.left + width + self.right)
        next_level = self.level + (self.stride[0] > 1)
        return scan.once(self, next_level, lambda: self._at(rows, scan, values.shape[3]))

    def _at(self, rows: Tensor, scan: Scan, count: int) -> Tensor:
        start = scan.column_of(self.level)
        window = rows[..., start : start + self.left + count + self.right]
        return conv2d(window, self.weight, self.bias, self.stride)


class Enlarge(nn.ConvTranspose2d):
    """A transposed convolution of stride 2, from the next level to this one."""

    def __init__(self, channels: int, kernel: tuple[int, int], level: int) -> None:
        super().__init__(channels, channels, kernel, 2)
        self.level, self.left = level, (kernel[1] - 1) // 2

    def forward(self, values: Tensor, size: tuple[int, int], scan: Scan | None = None) -> Tensor:
        """Return images of this height and width; in a scan, those at the current position."""
        if scan is None:
            return self._crop(super().forward(values), 0, self.left, size)
        return scan.once(self, self.level, lambda: self._at(values, size, scan))

    def _at(self, values: Tensor, size: tuple[int, int], scan: Scan) -> Tensor:
        row, column = scan.part(self.level)
        width = size[1] if scan.column is None else 1
        return self._crop(super().forward(values), row, self.left + column, (1, width))

    @staticmethod
    def _crop(images: Tensor, top: int, left: int, size: tuple[int, int]) -> Tensor:
        return images[:, :, top : top + size[0], left : left + size[1]]


def shift_down(images: Tensor) -> Tensor:
    """Move images (B, C, h, w) down by a pixel: a row holds what was above it."""
    return pad(images[:, :, :-1], (0, 0, 1, 0))


def shift_right(images: Tensor) -> Tensor:
    """Move images (B, C, h, w) to the right by a pixel."""
    return pad(images[..., :-1], (1, 0))


def halved(size: tuple[int, int]) -> tuple[int, int]:
    """Return the height and width of the next level."""
    return -(-size[0] // 2), -(-size[1] // 2)
