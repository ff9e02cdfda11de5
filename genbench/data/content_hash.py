"""The hash of a dataset's content, computed in chunks, so that data larger than memory can be hashed while written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from torch import Tensor

_CHUNK = 16 * 2**20  # bytes in memory at a time


def content_hash(tensors: Sequence[Tensor | None], write: Callable[[int, memoryview], object] | None = None) -> str:
    """Return the SHA-256 over type, shape and bytes of each tensor in turn; None stands for a missing one.

    Args:
        tensors: on the CPU, with at least one dimension.
        write: called with each chunk of bytes, and the number of its tensor.
    """
    digest = hashlib.sha256()
    for number, tensor in enumerate(tensors):
        if tensor is None:
            digest.update(b"none;")
            continue
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)};".encode())
        row = tensor[:1].numel() * tensor.element_size()
        step = max(1, _CHUNK // max(1, row))
        for begin in range(0, len(tensor), step):
            piece = tensor[begin : begin + step].contiguous().numpy().reshape(-1).view("uint8").data
            digest.update(piece)
            if write is not None:
                write(number, piece)
    return digest.hexdigest()
