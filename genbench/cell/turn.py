"""Taking turns: of the cells that share processors or a device, one at a time trains in timed windows.

The others load, evaluate or wait meanwhile. The turn is a lock on a file, which the kernel releases when its holder
ends, in whatever way.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from genbench.system.locks import FileLock

_LOOK_SECONDS = 0.02  # a cell that waits for its turn must also notice a request to stop


class Turn:
    """The turn of the cells that share a lock file; without one, a cell always has it."""

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._lock: FileLock | None = None
        self.waited = 0.0  # seconds

    def take(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Wait for the turn, unless this cell has it; return whether it has, which a request to stop prevents."""
        if not self._path or self._lock is not None:
            return True
        begin, lock = time.monotonic(), FileLock(Path(self._path), create=True)
        while not _taken(lock):
            if stopping():
                lock.close()
                return False
            time.sleep(_LOOK_SECONDS)
        self._lock = lock
        self.waited += time.monotonic() - begin
        return True

    def release(self) -> None:
        """Let another cell have it."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Have the turn inside."""
        self.take()
        try:
            yield
        finally:
            self.release()


def _taken(lock: FileLock) -> bool:
    try:
        lock.take()
    except BlockingIOError:
        return False
    return True
