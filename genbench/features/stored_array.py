"""One array of an ``.npy`` or ``.npz`` file, which may be damaged or crafted.

Nothing is unpickled, only the members that are asked for are inflated, and nothing is allocated before the header of an
array agrees with the size of its file.
"""

from __future__ import annotations

import contextlib
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

_MAGIC = b"\x93NUMPY"
_LENGTH_BYTES = {(1, 0): 2, (2, 0): 4, (3, 0): 4}  # of the header's length, by version of the format
_MAX_HEADER = 10_000  # bytes; numpy itself reads no longer one
_MAX_AXES = 32
_DEFLATE_RATIO = 1032  # the most that deflate can shrink
_SLACK = 1024  # bytes
_SUFFIX = ".npy"

Array = np.ndarray[Any, Any]


class ArrayFault(Exception):
    """Why an array cannot be read; the message does not contain the path."""


class PickledArray(ArrayFault):
    """The array is or contains a pickle."""

    def __init__(self) -> None:
        super().__init__("it is or contains a pickle")


@dataclass(frozen=True)
class Header:
    """The header of a stored array."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool

    @property
    def size(self) -> int:
        """Bytes of the array's data."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: IO[bytes], size: int) -> Header:
    """Read the header of an ``.npy`` of `size` bytes and leave the file at the array's data.

    Raises `PickledArray` for a pickle, and `ArrayFault` where this is no array or not as long as the header says.
    """
    start = _exactly(file, min(size, 8))
    if start[:1] == b"\x80":
        raise PickledArray
    if start[:6] != _MAGIC:
        raise ArrayFault("it is empty" if not size else "it does not begin as an .npy file does")
    length_bytes = _LENGTH_BYTES.get((start[6], start[7]) if len(start) == 8 else (0, 0))
    if length_bytes is None:
        raise ArrayFault("its version of the .npy format is unknown")
    stated = _exactly(file, length_bytes)
    length = int.from_bytes(stated, "little")
    if length > _MAX_HEADER:
        raise ArrayFault(f"its header claims to have {length:,} bytes, and no array of numbers needs {_MAX_HEADER:,}")
    header = _parsed(stated + _exactly(file, length), length_bytes)
    if header.dtype.hasobject:
        return header
    data = size - len(start) - length_bytes - length
    if header.size > data:
        raise ArrayFault(f"it is truncated: its header describes {header.size:,} bytes, and {data:,} follow")
    return header


def read_data(file: IO[bytes], header: Header) -> Array:
    """Return the array whose header was read, as it is stored (not writable); raise `ArrayFault` or `PickledArray`."""
    if header.dtype.hasobject:
        raise PickledArray
    values: Array = np.frombuffer(_exactly(file, header.size), header.dtype, count=math.prod(header.shape))
    return values.reshape(header.shape, order="F" if header.fortran else "C")


class Archive:
    """The arrays of an open ``.npz``, by name without suffix."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self._archive, self._size = archive, size
        self._members: dict[str, list[zipfile.ZipInfo]] = {}
        for member in archive.infolist():
            if member.filename.endswith(_SUFFIX):
                self._members.setdefault(member.filename.removesuffix(_SUFFIX), []).append(member)

    @property
    def names(self) -> list[str]:
        """The names of the arrays, in the order of the file."""
        return list(self._members)

    @contextlib.contextmanager
    def opened(self, name: str) -> Iterator[tuple[IO[bytes], Header]]:
        """Open an array at its data, with its header; raise `ArrayFault`."""
        member = self._checked(name)
        with _faults():
            file = self._archive.open(member)
        with file:
            yield file, read_header(file, member.file_size)

    def header(self, name: str) -> Header:
        """Return the header of an array, of which no more is inflated; raise `ArrayFault`."""
        with self.opened(name) as (_, header):
            return header

    def _checked(self, name: str) -> zipfile.ZipInfo:
        member, *others = self._members[name]
        if others:
            raise ArrayFault(f"it contains {1 + len(others)} arrays called '{name}'")
        if member.flag_bits & 1:
            raise ArrayFault(f"'{name}' is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ArrayFault(f"'{name}' is compressed by a method that numpy does not use")
        ratio = 1 if member.compress_type == zipfile.ZIP_STORED else _DEFLATE_RATIO
        if member.compress_size > self._size or member.file_size > ratio * member.compress_size + _SLACK:
            raise ArrayFault(f"'{name}' claims to have {member.file_size:,} bytes, which the file cannot hold")
        return member


@contextlib.contextmanager
def opened_archive(path: Path) -> Iterator[Archive]:
    """Open an ``.npz``; raise `ArrayFault` where it is none, and `OSError` where it cannot be read."""
    with path.open("rb") as file:
        with _faults():
            archive = zipfile.ZipFile(file)
        with archive:
            yield Archive(archive, path.stat().st_size)


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    """Raise what zipfile and zlib raise for a damaged file as `ArrayFault`."""
    try:
        yield
    except zipfile.BadZipFile as error:
        damaged = "CRC" in str(error)
        raise ArrayFault(str(error) if damaged else "it is not an .npz archive, or it is truncated") from error
    except (zlib.error, EOFError) as error:
        raise ArrayFault("its compressed data are damaged or truncated") from error
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, struct.error) as error:
        # zipfile raises all of these for directories that were tampered with
        raise ArrayFault("the directory of its members is damaged") from error


def _parsed(content: bytes, length_bytes: int) -> Header:
    read = np.lib.format.read_array_header_1_0 if length_bytes == 2 else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(io.BytesIO(content))
    except Exception as error:  # the header is an expression in Python: its parser may raise nearly anything
        raise ArrayFault("its header does not describe an array") from error
    if len(shape) > _MAX_AXES or any(isinstance(side, bool) or side < 0 for side in shape):
        raise ArrayFault(f"its header describes an array of shape {str(shape)[:100]}, which is impossible")
    return Header(tuple(shape), dtype, bool(fortran))


def _exactly(file: IO[bytes], count: int) -> bytes:
    with _faults():
        data = file.read(count)
    if len(data) < count:
        raise ArrayFault("it is truncated")
    return data
