"""An array of images in an ``.npy`` or ``.npz`` file as a stream: read in chunks, never unpickled.

Pixels are uint8, or floats in [0, 1], which are rounded to the nearest of 256 levels. The axes are (N, C, H, W),
(N, H, W, C) or (N, H, W), with one channel or three.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from genbench.builtin.datasets.folder import printable
from genbench.data.progress import Progress
from genbench.errors import DataError
from genbench.imagesets.source import ImageSource, ReadReport

NAMES = ("images", "samples", "arr_0")  # of the array to use where an .npz contains several
STATISTICS = {"mu", "sigma"}
_REMEDY = "Save an array with numpy.save: uint8, or floats in [0, 1], as (N, C, H, W), (N, H, W, C) or (N, H, W)."

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class _Header:
    """The header of a stored array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool


def npy_source(path: Path) -> ImageSource:
    """Return the images of an ``.npy``; raise `DataError` where it contains none."""
    return _source(path, lambda: path.open("rb"))


def npz_source(path: Path) -> ImageSource:
    """Return the images of an ``.npz``; raise `DataError` where it is ambiguous which array they are."""
    with _reading(path), zipfile.ZipFile(path) as archive:
        name = _chosen(path, {name: _header(archive, name) for name in _members(archive)})

    @contextlib.contextmanager
    def opened() -> Iterator[IO[bytes]]:
        with zipfile.ZipFile(path) as archive, archive.open(name) as file:
            yield file

    return _source(path, opened)


def _source(path: Path, opened: Callable[[], AbstractContextManager[IO[bytes]]]) -> ImageSource:
    """Return the images of one stored array, which is read sequentially and is never in memory as a whole.

    It is not memory-mapped: the pages of a mapped file would count as memory of the process.
    """
    with _reading(path), opened() as file:
        header = _read_header(file)
    axes = _axes(path, header)
    if header.fortran:
        raise DataError(f"{path} stores its array in Fortran order.", "Save numpy.ascontiguousarray(array).")
    count, each = header.shape[0], int(np.prod(header.shape[1:])) * header.dtype.itemsize
    state = _state(path)

    def batches(size: int, report: ReadReport, progress: Progress) -> Iterator[Tensor]:
        with _reading(path), opened() as file:
            _read_header(file)
            for begin in range(0, count, size):
                rows = min(size, count - begin)
                piece = np.frombuffer(_exactly(file, rows * each), header.dtype).reshape(rows, *header.shape[1:])
                yield _batch(path, piece, axes, begin, report)
                progress(begin + rows, count)
        if _state(path) != state:
            raise DataError(f"{path} changed while it was read.", "Wait until writing has finished, then try again.")

    return ImageSource(f"array {printable(str(path))}", count, batches, f"{path.resolve()} {state}")


def holds_statistics(path: Path) -> bool:
    """Whether an ``.npz`` contains feature statistics, `mu` and `sigma`, rather than images."""
    with _reading(path), zipfile.ZipFile(path) as archive:
        return bool(STATISTICS & {name.removesuffix(".npy") for name in archive.namelist()})


def _members(archive: zipfile.ZipFile) -> list[str]:
    return [name for name in archive.namelist() if name.endswith(".npy")]


def _header(archive: zipfile.ZipFile, name: str) -> _Header:
    with archive.open(name) as file:
        return _read_header(file)


def _read_header(file: IO[bytes]) -> _Header:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    return _Header(shape, dtype, fortran)


def _exactly(file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise EOFError("it is truncated")
    return data


def _chosen(path: Path, headers: dict[str, _Header]) -> str:
    """Return the name of the array of images; labels and the like have fewer axes."""
    images = {name.removesuffix(".npy"): name for name, header in headers.items() if len(header.shape) in (3, 4)}
    objects = [name for name, header in headers.items() if header.dtype.hasobject]
    if objects and not images:
        raise _pickled(path)
    if len(images) == 1:
        return next(iter(images.values()))
    for name in NAMES:
        if name in images:
            return images[name]
    held = ", ".join(f"{name.removesuffix('.npy')} {header.shape}" for name, header in headers.items()) or "nothing"
    what = "several arrays of images" if images else "neither images nor statistics"
    raise DataError(f"{path} contains {what}: {held}.", f"Name the one to use 'images'. {_REMEDY}")


def _axes(path: Path, header: _Header) -> tuple[int, ...]:
    """Return the permutation to (N, C, H, W), or that of (N, H, W)."""
    shape, dtype = header.shape, header.dtype
    if dtype.hasobject:
        raise _pickled(path)
    if dtype != np.uint8 and dtype.kind != "f":
        raise DataError(f"{path} contains {dtype}, not pixels.", _REMEDY)
    if len(shape) == 3:
        return (0, 1, 2)
    if len(shape) != 4 or 0 in shape[1:]:
        raise DataError(f"{path} contains an array of shape {shape}, which is not a set of images.", _REMEDY)
    first, last = shape[1] in (1, 3), shape[3] in (1, 3)
    if first and last:
        raise DataError(
            f"{path} has shape {shape}: either axis could be the channels.", "Save it with other sizes, or as files."
        )
    if not (first or last):
        raise DataError(f"{path} has shape {shape}: no axis has 1 or 3 channels.", f"Images are grey or RGB. {_REMEDY}")
    return (0, 1, 2, 3) if first else (0, 3, 1, 2)


def _batch(path: Path, array: Array, axes: tuple[int, ...], begin: int, report: ReadReport) -> Tensor:
    images = torch.from_numpy(_as_bytes(path, array, begin)).permute(axes)
    if images.ndim == 3:
        images = images[:, None]
    channels, height, width = images.shape[1:]
    report.shapes[channels, height, width] += len(images)
    return images.contiguous()


def _as_bytes(path: Path, array: Array, begin: int) -> Array:
    if array.dtype == np.uint8:
        return array if array.flags.writeable else array.copy()
    low, high = float(array.min()), float(array.max())  # NaN if there is any
    if not np.isfinite([low, high]).all():
        bad = begin + int(np.flatnonzero(~np.isfinite(array).all(axis=tuple(range(1, array.ndim))))[0])
        raise DataError(f"{path}: image {bad} has pixels that are NaN or infinite.", "Repair or remove such images.")
    if low < 0 or high > 1:
        raise DataError(
            f"{path}: floating-point pixels lie in [{low:g}, {high:g}], not in [0, 1].",
            "Scale them, from [-1, 1] by (x + 1) / 2, or save uint8.",
        )
    levels: Array = np.rint(array.astype(np.float32) * 255).astype(np.uint8)
    return levels


def _state(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return status.st_size, status.st_mtime_ns


def _pickled(path: Path) -> DataError:
    return DataError(f"{path} is or contains a pickle, which could run any code when loaded: it was not read.", _REMEDY)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        if "pickle" in str(error):
            raise _pickled(path) from error
        raise DataError(f"{path} contains no array: {error}.", _REMEDY) from error
