"""One process at a time works on a run."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from genbench.errors import UsageError


@contextlib.contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold an existing file for this process until the block ends, or the process, however it dies.

    Raises `UsageError` where another process holds it. A file system without locks holds nothing.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"Another genbench process is working on {path.parent}.", "Wait until it is done, or stop it first."
            ) from None
        except OSError:
            pass
        yield
    finally:
        os.close(descriptor)
