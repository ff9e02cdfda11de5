"""Room for images that are being decoded: in memory while they are few, in an unnamed file of the cache beyond that."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from genbench import DataError

Array: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Shape: TypeAlias = tuple[int, int, int, int]  # images, channels, height, width

IN_MEMORY = 512 * 2**20  # bytes; more is written to disk, so that a folder larger than memory can be decoded
_COPIED = 64 * 2**20  # bytes that are in hand at once


def room(shape: Shape, cache: Path) -> Array:
    """Return an array to decode into; its content is undefined.

    A large one is mapped from a file without a name, which takes no memory that the kernel could not have back and
    disappears with the array, however the process ends. Where the cache has no place for it, it lies in memory.
    Raises `DataError` where the images fit in neither.
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
            f"and {cache} has no place for them either.",
            "Set a smaller size, or free some space in the cache directory.",
        ) from error


def select(pixels: Array, chosen: np.ndarray[Any, np.dtype[np.bool_]], cache: Path) -> Array:
    """Return the chosen images, in order, in room of their own. Raises `DataError` where there is none."""
    rows = np.flatnonzero(chosen)
    selected = room((len(rows), *pixels.shape[1:]), cache)
    step = max(1, _COPIED // max(1, pixels[:1].nbytes))
    for begin in range(0, len(rows), step):
        selected[begin : begin + step] = pixels[rows[begin : begin + step]]
    return selected


def _mapped(shape: Shape, size: int, cache: Path) -> Array:
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=cache) as file:
        # Space that is only promised would end the process, not raise, once the disk is full.
        os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(file, dtype=np.uint8, mode="r+", shape=shape)
