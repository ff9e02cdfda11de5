"""Reading rows of a memory-mapped file in random order without waiting for the disk once per page.

Random order is the worst case for the kernel's own readahead. Given all rows of a batch at once, it reads them in
parallel, several times as fast. Where the file is in memory already, that would only cost calls and is skipped.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from genbench.system.means import uses_linux

Rows: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

PREFETCHED_AFTER_FAULT = 64  # gathers whose rows are prefetched after one that had to wait for the disk

_WILL_NEED = 3  # POSIX_MADV_WILLNEED


class RowReader:
    """Gathers rows of a C-contiguous array, which may be a memory-mapped file; for use by one thread."""

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array
        self.prefetched = 0  # gathers whose rows were prefetched
        self._left = 0

    def gather(self, rows: Rows, out: np.ndarray[Any, Any], upcoming: Rows) -> None:
        """Copy the rows into `out`, in this order; `upcoming` rows will be gathered later."""
        if self._left > 0:
            self._left -= 1
            self.prefetched += 1
            prefetch(self.array, rows)
            prefetch(self.array, upcoming)
        before = major_faults()
        self.array.take(rows, axis=0, out=out, mode="clip")  # 'raise' would copy twice
        if major_faults() > before:
            self._left = PREFETCHED_AFTER_FAULT


def prefetch(array: np.ndarray[Any, Any], rows: Rows) -> None:
    """Tell the kernel that these rows are about to be read; no effect where they are in memory, or outside Linux."""
    advise = _posix_madvise()
    if advise is None:
        return
    size = array.nbytes // len(array)
    begin = array.ctypes.data + rows * size
    page = begin - begin % mmap.PAGESIZE
    for address, length in zip(page.tolist(), (begin + size - page).tolist(), strict=True):
        advise(address, length, _WILL_NEED)  # the kernel may refuse: the rows are read all the same


def major_faults() -> int:
    """Return how often this thread has waited for a page from the disk; 0 where the system does not count."""
    if not uses_linux():
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_THREAD).ru_majflt


@functools.cache
def _posix_madvise() -> Callable[[int, int, int], int] | None:
    if not uses_linux():
        return None
    advise = ctypes.CDLL(None).posix_madvise
    advise.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
    return advise
