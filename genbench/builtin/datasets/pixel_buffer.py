"""Arrays for decoded images: small ones in memory, large ones in an unnamed file in the cache."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from genbench import DataError

Array: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Shape: TypeAlias = tuple[int, int, int, int]  # images, channels, height, width

IN_MEMORY = 512 * 2**20  # bytes; larger arrays are on disk, so that a folder larger than memory can be decoded
_COPIED = 64 * 2**20  # bytes copied at a time


def allocate(shape: Shape, cache: Path) -> Array:
    """Return an array to decode into; its content is undefined.

    A large one is mapped from an unnamed file, whose memory the kernel can reclaim and which disappears with the array,
    however the process ends. Where the cache has no space for it, it is in memory. Raises `DataError` where the images
    fit in neither.
    """
    size = int(np.prod(shape, dtype=object))
    try:
        if size > IN_MEMORY:
            try:
                return _mapped(shape, size, cache)
            except (OSError, OverflowError, AttributeError):  # no space, no permission, no such call on this system
                pass
        return np.empty(shape, dtype=np.uint8)
    except (MemoryError, ValueError) as error:
        count, _, height, width = shape
        raise DataError(
            f"{count} images of {height}×{width} pixels need {size / 2**30:.1f} GiB of memory, "
            f"and {cache} has no space for them either.",
            "Set a smaller size, or free some space in the cache directory.",
            code="GB502",
        ) from error


def select(pixels: Array, chosen: np.ndarray[Any, np.dtype[np.bool_]], cache: Path) -> Array:
    """Return a copy of the chosen images, in order. Raises `DataError` where there is no space for it."""
    rows = np.flatnonzero(chosen)
    selected = allocate((len(rows), *pixels.shape[1:]), cache)
    step = max(1, _COPIED // max(1, pixels[:1].nbytes))
    for begin in range(0, len(rows), step):
        selected[begin : begin + step] = pixels[rows[begin : begin + step]]
    return selected


def _mapped(shape: Shape, size: int, cache: Path) -> Array:
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=cache) as file:
        # Without preallocation, a full disk would kill the process by a signal instead of raising.
        os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
