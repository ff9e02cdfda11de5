"""The log of a cell: bounded, because a plugin may print without end and fill the disk that holds the results."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

LARGEST = 4 * 2**20  # bytes of a log, above which its middle is removed
_KEPT = 2**20  # bytes at its beginning, which say how the cell started, and at its end, which say how it ended


def shorten(path: Path, largest: int = LARGEST, kept: int = _KEPT) -> None:
    """Remove the middle of a log that is larger than `largest` bytes, and say so in its place; never raise `OSError`.

    The file stays the same one, because the worker that writes to it may still be running: it appends, so its next
    line follows the end. What it writes during the call may be lost.
    """
    with contextlib.suppress(OSError), path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if size <= largest:
            return
        file.seek(size - kept)
        end = file.read(kept)
        file.seek(kept)
        file.write(f"\n[genbench removed {size - 2 * kept:,} bytes from the middle of this log]\n".encode())
        file.write(end)
        file.truncate()
