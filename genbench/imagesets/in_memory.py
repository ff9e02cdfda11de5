"""Images in memory as a stream: an array, a tensor, or a loader that yields batches of them.

Pixels and axes are those of an ``.npy`` file, see `genbench.imagesets.array_file`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genbench.data.progress import Progress
from genbench.errors import DataError
from genbench.features.stored_array import Header
from genbench.imagesets.array_file import Array, axes_of, batch_of
from genbench.imagesets.source import ImageSource, ReadReport


def memory_source(images: object, title: str) -> ImageSource:
    """Return images in memory as a stream; `title` names them in messages.

    A loader yields batches with four axes, alone or as the first of a tuple or list, such as (images, labels). Raises
    `DataError` for anything else.
    """
    if _is_array(images):
        return _array_source(_as_array(images), title)
    if isinstance(images, Iterable) and not isinstance(images, str | bytes | dict):
        return _loader_source(images, title)
    raise DataError(
        f"{title} is {type(images).__name__}, not a set of images.",
        "Give a path, an array or tensor of images, or a loader that yields batches of them.",
        code="GB306",
    )


def _is_array(images: object) -> bool:
    return isinstance(images, Tensor) or (hasattr(images, "__array__") and hasattr(images, "shape"))


def _as_array(images: Any) -> Array:
    if isinstance(images, Tensor):
        held = images.detach().cpu()
        return (held.float() if held.dtype == torch.bfloat16 else held).numpy()
    return np.asarray(images)


def _array_source(array: Array, title: str) -> ImageSource:
    _require_pixels(array, title)
    axes = axes_of(title, Header(array.shape, array.dtype, False))

    def batches(size: int, report: ReadReport, progress: Progress) -> Iterator[Tensor]:
        for begin in range(0, len(array), size):
            yield batch_of(title, array[begin : begin + size], axes, begin, report)
            progress(min(begin + size, len(array)), len(array))

    def identify() -> str:
        content = hashlib.sha256(f"{array.dtype.str} {array.shape}".encode())
        content.update(np.ascontiguousarray(array).data)
        return f"array in memory {content.hexdigest()}"

    return ImageSource(title, len(array), batches, identify)


def _loader_source(loader: Iterable[object], title: str) -> ImageSource:
    once = iter(loader) is loader  # a generator
    read = False

    def batches(size: int, report: ReadReport, progress: Progress) -> Iterator[Tensor]:
        nonlocal read
        if once and read:
            raise DataError(
                f"{title} is a generator, which can be read only once, but several extractors read it.",
                "Give a list of batches or a loader, or measure metrics of one extractor.",
                code="GB306",
            )
        read, done = True, 0
        for batch in loader:
            first = batch[0] if isinstance(batch, tuple | list) and batch else batch
            if not _is_array(first):
                raise DataError(
                    f"{title} yields {type(first).__name__}, not batches of images.",
                    "A batch is an array or tensor, or a tuple that begins with one.",
                    code="GB306",
                )
            array = _as_array(first)
            if array.ndim != 4:
                raise DataError(
                    f"{title} yields arrays of shape {array.shape}; a batch has four axes.",
                    "Join single images with numpy.stack or torch.stack.",
                    code="GB306",
                )
            _require_pixels(array, title)
            axes = axes_of(title, Header(array.shape, array.dtype, False))
            for begin in range(0, len(array), size):
                piece = array[begin : begin + size]
                yield batch_of(title, piece, axes, done, report)
                done += len(piece)
                progress(done, done)

    return ImageSource(title, 0, batches)


def _require_pixels(array: Array, title: str) -> None:
    if array.dtype.hasobject:
        raise DataError(
            f"{title} is an array of Python objects, not of pixels.", "Give uint8, or floats in [0, 1].", code="GB306"
        )
