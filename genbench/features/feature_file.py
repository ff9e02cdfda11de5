"""Features of more images than fit in memory: rows in a temporary file, read back in chunks or by row number."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from typing import IO

import torch
from torch import Tensor

from genbench.api.evaluation import Rows

CHUNK = 4096  # rows in memory at a time


def chunks(rows: Rows, size: int = CHUNK) -> Iterator[Tensor]:
    """Yield all rows in order, at most `size` at a time."""
    for begin in range(0, len(rows), size):
        yield rows[begin : begin + size]


class FeatureRows:
    """A float32 matrix (N, d) in a temporary file, which is deleted with it; rows are appended, then read.

    The file is read, not memory-mapped, because mapped pages count as memory of the process.
    """

    def __init__(self, file: IO[bytes] | None = None) -> None:
        self._file = tempfile.TemporaryFile(prefix="genbench-features-") if file is None else file  # noqa: SIM115
        self._count, self._width = 0, 0

    def append(self, features: Tensor) -> None:
        """Add rows (n, d); raise ValueError if they have another width."""
        if features.ndim != 2 or (self._count and features.shape[1] != self._width):
            raise ValueError(f"features have the shape {tuple(features.shape)}, not (N, {self._width or 'd'}).")
        self._width = features.shape[1]
        if len(features):
            self._file.write(features.float().contiguous().numpy().data)
        self._count += len(features)

    def __len__(self) -> int:
        return self._count

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._count, self._width

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Return rows by number, in the given order, or a slice of rows: float32 (n, d)."""
        self._file.flush()
        each = 4 * self._width
        if isinstance(rows, slice):
            begin, end, _ = rows.indices(self._count)
            found = torch.empty(max(0, end - begin), self._width)
            self._read(found, begin * each)
            return found
        found = torch.empty(len(rows), self._width)
        for place, row in zip(found, rows.tolist(), strict=True):
            if not 0 <= row < self._count:
                raise IndexError(f"there is no row {row} among {self._count}.")
            self._read(place, row * each)
        return found

    def close(self) -> None:
        """Delete the file; the rows are lost."""
        self._file.close()

    def _read(self, into: Tensor, offset: int) -> None:
        if not into.numel():
            return
        view = memoryview(into.numpy().data).cast("B")
        while view:
            count = os.preadv(self._file.fileno(), [view], offset)
            if count == 0:
                raise OSError("the temporary file of features was truncated.")
            view, offset = view[count:], offset + count
