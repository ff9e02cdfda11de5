"""Reading the IDX format of the MNIST family, and refusing content that differs from what was published."""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from importlib.resources.abc import Traversable

import torch
from torch import Tensor

from genbench import DataError

_UINT8 = 0x08  # the format's code for unsigned bytes, the only type that these datasets use


def parse_idx(content: bytes) -> Tensor:
    """Return the uint8 array of an IDX file, in the shape stated in its header.

    The header is two zero bytes, the element type, the number of dimensions, and each dimension as a big-endian
    32-bit integer; the elements follow, last dimension fastest. Raises `ValueError` for any other content.
    """
    if len(content) < 4 or content[:2] != b"\0\0":
        raise ValueError("it does not begin with an IDX header")
    if content[2] != _UINT8:
        raise ValueError(f"its elements have type 0x{content[2]:02x}, not unsigned bytes (0x{_UINT8:02x})")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise ValueError("it ends inside its header")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if len(content) - start != math.prod(shape):
        raise ValueError(f"it contains {len(content) - start} elements, but its header states {math.prod(shape)}")
    # bytearray: torch needs writable memory.
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)[start:].reshape(shape)


def read_published(file: Traversable, sha256: str, cure: str) -> Tensor:
    """Return the array in a gzipped IDX file whose decompressed content has this hash.

    The hash is of the content because distributions recompress the same content. Raises `DataError` with `cure`
    where the file cannot be read or its content differs.
    """
    try:
        content = gzip.decompress(file.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} cannot be read: {error}", cure) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise DataError(
            f"{file} is damaged: its content has sha256 {found}, that of the published file is {sha256}.", cure
        )
    try:
        return parse_idx(content)
    except ValueError as error:
        raise DataError(f"{file} is not an IDX file: {error}.", cure) from error
