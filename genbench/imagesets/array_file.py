"""An array of images in an ``.npy`` or ``.npz`` file as a stream: read in chunks, never unpickled.

Pixels are uint8, or floats in [0, 1], which are rounded to the nearest of 256 levels. The axes are (N, C, H, W),
(N, H, W, C) or (N, H, W), with one channel or three.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from genbench.builtin.datasets.folder import printable
from genbench.data.progress import Progress
from genbench.errors import DataError
from genbench.features.stored_array import ArrayFault, Header, PickledArray, opened_archive, read_data, read_header
from genbench.imagesets.source import ImageSource, ReadReport

NAMES = ("images", "samples", "arr_0")  # of the array to use where an .npz contains several
STATISTICS = {"mu", "sigma"}
_REMEDY = "Save an array with numpy.save: uint8, or floats in [0, 1], as (N, C, H, W), (N, H, W, C) or (N, H, W)."
_READ_BYTES = 1 << 28  # in memory at a time
_MAX_PIXELS = 89_478_485  # of one image; the same limit as Pillow's for files
_ROUNDING = 1e-3  # floats outside [0, 1] by no more are clipped: resizing and (x + 1) / 2 in float32 round

Array = np.ndarray[Any, Any]
Opened = Callable[[], AbstractContextManager[tuple[IO[bytes], Header]]]  # a stored array, at its data


def npy_source(path: Path) -> ImageSource:
    """Return the images of an ``.npy``; raise `DataError` where it contains none."""

    @contextlib.contextmanager
    def opened() -> Iterator[tuple[IO[bytes], Header]]:
        with path.open("rb") as file:
            yield file, read_header(file, path.stat().st_size)

    return _source(path, opened)


def npz_source(path: Path) -> ImageSource:
    """Return the images of an ``.npz``; raise `DataError` where it is ambiguous which array they are."""
    with _reading(path), opened_archive(path) as archive:
        name = _chosen(path, {name: archive.header(name) for name in archive.names})

    @contextlib.contextmanager
    def opened() -> Iterator[tuple[IO[bytes], Header]]:
        with opened_archive(path) as archive, archive.opened(name) as found:
            yield found

    return _source(path, opened)


def _source(path: Path, opened: Opened) -> ImageSource:
    """Return the images of one stored array, which is read sequentially and is never in memory as a whole.

    It is not memory-mapped: the pages of a mapped file would count as memory of the process.
    """
    with _reading(path), opened() as (_, header):
        axes = axes_of(path, header)
    if header.fortran:
        raise DataError(
            f"{path} stores its array in Fortran order.", "Save numpy.ascontiguousarray(array).", code="GB306"
        )
    count, each = header.shape[0], Header(header.shape[1:], header.dtype, False).size
    state = _state(path)

    def batches(size: int, report: ReadReport, progress: Progress) -> Iterator[Tensor]:
        rows_at_once = min(size, max(1, _READ_BYTES // each))
        with _reading(path), opened() as (file, _):
            for begin in range(0, count, rows_at_once):
                rows = min(rows_at_once, count - begin)
                piece = read_data(file, Header((rows, *header.shape[1:]), header.dtype, False))
                yield batch_of(path, piece, axes, begin, report)
                progress(begin + rows, count)
        if _state(path) != state:
            raise DataError(
                f"{path} changed while it was read.", "Wait until writing has finished, then try again.", code="GB309"
            )

    def identify() -> str:
        with _reading(path), path.open("rb") as file:
            return f"array {hashlib.file_digest(file, 'sha256').hexdigest()}"

    return ImageSource(f"array {printable(str(path))}", count, batches, identify)


def holds_statistics(path: Path) -> bool:
    """Whether an ``.npz`` contains feature statistics, `mu` and `sigma`, rather than images."""
    with _reading(path), opened_archive(path) as archive:
        return bool(STATISTICS & set(archive.names))


def _chosen(path: Path, headers: dict[str, Header]) -> str:
    """Return the name of the array of images; labels and the like have fewer axes."""
    images = [name for name, header in headers.items() if len(header.shape) in (3, 4)]
    objects = [name for name, header in headers.items() if header.dtype.hasobject]
    if objects and not images:
        raise PickledArray
    if len(images) == 1:
        return images[0]
    for name in NAMES:
        if name in images:
            return name
    held = ", ".join(f"{printable(name)} {header.shape}" for name, header in headers.items()) or "nothing"
    what = "several arrays of images" if images else "neither images nor statistics"
    raise DataError(f"{path} contains {what}: {held}.", f"Name the one to use 'images'. {_REMEDY}", code="GB306")


def axes_of(path: Path | str, header: Header) -> tuple[int, ...]:
    """Return the permutation to (N, C, H, W), or that of (N, H, W); `path` names the array in errors."""
    shape, dtype = header.shape, header.dtype
    if dtype.hasobject:
        raise PickledArray
    if dtype != np.uint8 and dtype.kind != "f":
        raise DataError(f"{path} contains {dtype}, not pixels.", _REMEDY, code="GB306")
    if len(shape) not in (3, 4) or 0 in shape[1:]:
        raise DataError(
            f"{path} contains an array of shape {shape}, which is not a set of images.", _REMEDY, code="GB306"
        )
    if len(shape) == 3:
        axes: tuple[int, ...] = (0, 1, 2)
    else:
        first, last = shape[1] in (1, 3), shape[3] in (1, 3)
        if first and last:
            raise DataError(
                f"{path} has shape {shape}: either axis could be the channels.",
                "Save it with other sizes, or as files.",
                code="GB306",
            )
        if not (first or last):
            raise DataError(
                f"{path} has shape {shape}: no axis has 1 or 3 channels.",
                f"Images are grey or RGB. {_REMEDY}",
                code="GB306",
            )
        axes = (0, 1, 2, 3) if first else (0, 3, 1, 2)
    height, width = (shape[axis] for axis in axes[-2:])
    if height * width > _MAX_PIXELS:
        raise DataError(f"{path} has images of {height:,}×{width:,} pixels, which is too large.", _REMEDY, code="GB306")
    return axes


def batch_of(path: Path | str, array: Array, axes: tuple[int, ...], begin: int, report: ReadReport) -> Tensor:
    """Return a piece of an array, from image `begin` on, as uint8 (n, C, H, W); raise `DataError` for its pixels."""
    images = torch.from_numpy(_as_bytes(path, array, begin)).permute(axes)
    if images.ndim == 3:
        images = images[:, None]
    channels, height, width = images.shape[1:]
    report.shapes[channels, height, width] += len(images)
    return images.contiguous()


def _as_bytes(path: Path | str, array: Array, begin: int) -> Array:
    if array.dtype == np.uint8:
        return array if array.flags.writeable else array.copy()
    low, high = float(array.min()), float(array.max())  # NaN if there is any
    if not np.isfinite([low, high]).all():
        bad = begin + int(np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))))[0])
        raise DataError(
            f"{path}: image {bad} has pixels that are NaN or infinite.", "Repair or remove such images.", code="GB604"
        )
    excess = max(-low, high - 1)
    if excess > _ROUNDING:
        raise DataError(
            f"{path}: floating-point pixels lie in [{low:g}, {high:g}], not in [0, 1]: they exceed it by {excess:g}.",
            _scaling(low, high),
            code="GB306",
        )
    levels: Array = np.rint(array.clip(0, 1).astype(np.float32) * 255).astype(np.uint8)
    return levels


def _scaling(low: float, high: float) -> str:
    """Return how to bring pixels of this range into [0, 1]."""
    if low >= -_ROUNDING and 2 < high <= 255 + _ROUNDING:
        return "Divide them by 255, or save them as uint8."
    if -1 - _ROUNDING <= low < -0.5 and high <= 1 + _ROUNDING:
        return "Scale them from [-1, 1] by (x + 1) / 2, or save uint8."
    return "Clip or scale them to [0, 1], or save uint8."


def _state(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except PickledArray as error:
        raise DataError(
            f"{path} is or contains a pickle, which could run any code when loaded: it was not read.",
            _REMEDY,
            code="GB307",
        ) from error
    except ArrayFault as error:
        raise DataError(f"{path} contains no array: {error}.", _REMEDY, code="GB306") from error
