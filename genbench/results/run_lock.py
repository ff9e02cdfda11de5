"""Only one process at a time works on a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from genbench.errors import UsageError
from genbench.system.locks import FileLock


def is_held(path: Path) -> bool:
    """Return whether a process works on the run whose file this is; raise OSError if it cannot be opened."""
    try:
        with hold(path):
            return False
    except UsageError:
        return True


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Lock an existing file for this process until the block or the process ends, in whatever way.

    Raises `UsageError` if another process holds the lock. On a file system without locks, this does nothing.
    """
    with FileLock(path) as lock:
        try:
            lock.take()
        except BlockingIOError:
            raise UsageError(
                f"Another genbench process is working on {path.parent}.",
                "Wait until it has finished, or stop it first.",
                code="GB707",
            ) from None
        except OSError:
            pass
        yield
