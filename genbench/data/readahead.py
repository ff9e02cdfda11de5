"""Reading rows of a mapped file in random order without waiting for the disk once for each page.

Random order is the worst case for the kernel's own guesses. Telling it all rows of a batch at once lets it read them
side by side, several times as fast; where the file is in memory already that would only cost calls, and is left out.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import sys
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

Rows: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

PATIENCE = 64  # gathers that are announced after one that had to wait for the disk

_WILL_NEED = 3  # POSIX_MADV_WILLNEED


class RowReader:
    """Gathers rows of a C-contiguous array, which may be a mapped file; for use by one thread."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array
        self.announced = 0  # gathers whose rows were announced
        self._left = 0

    def gather(self, rows: Rows, out: np.ndarray[Any, Any], later: Rows) -> None:
        """Copy the rows into `out`, in this order; `later` are rows that will be wanted."""
        if self._left > 0:
            self._left -= 1
            self.announced += 1
            announce(self.array, rows)
            announce(self.array, later)
        before = major_faults()
        self.array.take(rows, axis=0, out=out, mode="clip")  # 'raise' would copy twice
        if major_faults() > before:
            self._left = PATIENCE


def announce(array: np.ndarray[Any, Any], rows: Rows) -> None:
    """Tell the kernel that these rows are about to be read; without effect on memory, or where it cannot be told."""
    advise = _advise()
    if advise is None:
        return
    size = array.nbytes // len(array)
    begin = array.ctypes.data + rows * size
    page = begin - begin % mmap.PAGESIZE
    for address, length in zip(page.tolist(), (begin + size - page).tolist(), strict=True):
        advise(address, length, _WILL_NEED)  # advice may be refused: the rows are read all the same


def major_faults() -> int:
    """Return how often this thread has waited for the disk to bring a page (0 where the system does not tell)."""
    if sys.platform != "linux":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_THREAD).ru_majflt


@functools.cache
def _advise() -> Callable[[int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    advise = ctypes.CDLL(None).posix_madvise
    advise.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
    return advise
