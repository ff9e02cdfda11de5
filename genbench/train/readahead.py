"""Telling the kernel which rows of a mapped file will be read soon, so that it reads them from disk at once.

Rows in random order are the worst case for its own guesses: without this, each page waits for the one before it.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

_WILL_NEED = 3  # POSIX_MADV_WILLNEED; MADV_WILLNEED has the same number on Linux


def announce(array: np.ndarray[Any, Any], rows: Sequence[int] | np.ndarray[Any, Any]) -> None:
    """Say that these rows of a C-contiguous array are about to be read; without effect on memory, or off Linux."""
    advise = _advise()
    if advise is None:
        return
    size = array.nbytes // len(array)
    begin = array.ctypes.data + np.asarray(rows, dtype=np.int64) * size
    page = begin - begin % mmap.PAGESIZE
    for address, length in zip(page.tolist(), (begin + size - page).tolist(), strict=True):
        advise(address, length, _WILL_NEED)  # advice may be refused: the rows are read all the same


@functools.cache
def _advise() -> Callable[[int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    # PyDLL keeps the interpreter's lock: sixty short calls must not ask for it anew each time.
    advise = ctypes.PyDLL(None).posix_madvise
    advise.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
    return advise
