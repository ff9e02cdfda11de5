"""Decoding many images into one array of small squares: centre crop, antialiased resize, in a few threads."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from genbench import DataError
from genbench.builtin.datasets.image_file import centre_square, quiet_pillow, to_eight_bits
from genbench.builtin.datasets.pixel_buffer import Array, allocate

_THREADS = 4  # Pillow releases the interpreter lock while decoding
_BLOCK = 4096  # images handed to the threads at once

Item = TypeVar("Item")


def decode(
    items: Iterable[Item], count: int, opened: Callable[[Item], Image.Image], size: int, cache: Path, crop: int = 0
) -> Array:
    """Return the images as (count, 3, size, size), decoded into a file under `cache` where they are many.

    Args:
        items: `count` names or contents, consumed a few at a time.
        opened: opens one of them as an image.
        crop: side of the centred square that is used; 0: the largest.

    Raises `DataError`, naming the image, where one cannot be read.
    """
    pixels = allocate((count, 3, size, size), cache)

    def prepare(numbered: tuple[int, Item]) -> None:
        number, item = numbered
        try:
            with opened(item) as image:
                pixels[number] = square(image, size, crop)
        except Exception as error:  # on corrupt files Pillow's decoders raise nearly anything
            name = str(item) if isinstance(item, str | Path) else f"image {number}"
            raise DataError(f"{name} cannot be read: {error}", "Download it again.") from error

    with quiet_pillow(), ThreadPoolExecutor(_THREADS, thread_name_prefix="decode") as pool:
        for block in _blocks(enumerate(itertools.islice(items, count))):
            list(pool.map(prepare, block))
    return pixels


def square(image: Image.Image, size: int, crop: int = 0) -> Array:
    """Return the centred square of side `crop` (0: the largest) as (3, size, size), by Pillow's Lanczos filter.

    Of two equally central squares it is the upper or left one. Raises `ValueError` where the image is smaller.
    """
    if crop:
        left, top = (image.width - crop) // 2, (image.height - crop) // 2
        if left < 0 or top < 0:
            raise ValueError(f"it is {image.width}×{image.height}, smaller than the crop of {crop}")
        cut = image.crop((left, top, left + crop, top + crop))
    else:
        cut = centre_square(image)
    resized = to_eight_bits(cut).convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(resized).transpose(2, 0, 1)


def _blocks(items: Iterator[Item]) -> Iterator[list[Item]]:
    while block := list(itertools.islice(items, _BLOCK)):
        yield block
