"""Taking turns: of the cells that share processors or a device, one at a time trains in timed windows.

The others load, evaluate or wait meanwhile. The turn is a lock on a file, which the kernel releases when its holder
ends, in whatever way.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator

_LOOK_SECONDS = 0.02  # a cell that waits for its turn must also notice a request to stop


class Turn:
    """The turn of the cells that share a lock file; without one, a cell always has it."""

    def __init__(self, path: str = "") -> None:
        self._path = path
        self._descriptor: int | None = None
        self.waited = 0.0  # seconds

    def take(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Wait for the turn, unless this cell has it; return whether it has, which a request to stop prevents."""
        if not self._path or self._descriptor is not None:
            return True
        begin, descriptor = time.monotonic(), os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        while not _locked(descriptor):
            if stopping():
                os.close(descriptor)
                return False
            time.sleep(_LOOK_SECONDS)
        self._descriptor = descriptor
        self.waited += time.monotonic() - begin
        return True

    def release(self) -> None:
        """Let another cell have it."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # closing is not enough: a child may have inherited it
            os.close(self._descriptor)
            self._descriptor = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Have the turn inside."""
        self.take()
        try:
            yield
        finally:
            self.release()


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
