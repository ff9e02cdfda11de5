"""Shapes of square images, as the specs of convolutional models declare them."""

from __future__ import annotations

import genbench


def square(*sizes: int) -> tuple[genbench.Shape, ...]:
    """Return (1, size, size) and (3, size, size) for each size."""
    return tuple((channels, size, size) for size in sizes for channels in (1, 3))
