"""Locks that the system releases when their process ends, in whatever way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from genbench.system.means import uses_linux


class FileLock:
    """An exclusive lock of a file or folder among the processes that lock it in this way. Close it after use.

    On Linux the file itself is locked. Elsewhere nobody could then read it, so a file beside it is locked, or one in
    the folder.

    Args:
        path: the file or folder.
        create: create the file, which exists only to be locked. It can then be locked on NFS too.
    """

    def __init__(self, path: Path, create: bool = False) -> None:
        """Open the file; raise `OSError` where that is not possible, as it is missing or may not be read."""
        self._descriptor: int | None = None
        self._beside: Any = None
        self._held = False
        if uses_linux():
            flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
            self._descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
            return
        import filelock

        if not create:
            path.stat()  # raises where it is missing
        place = path if create else path / ".lock" if path.is_dir() else path.with_name(f".{path.name}.lock")
        self._beside = filelock.FileLock(place, mode=0o600, thread_local=False)

    def take(self, wait: bool = False) -> None:
        """Take the lock.

        Raises `BlockingIOError` where another process has it, and any other `OSError` where there are no locks.
        """
        if self._descriptor is not None:
            import fcntl

            fcntl.flock(self._descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        else:
            import filelock

            try:
                self._beside.acquire(timeout=-1 if wait else 0)
            except filelock.Timeout as error:
                raise BlockingIOError(f"{error.lock_file} is locked") from None
            except NotImplementedError as error:
                raise OSError(str(error)) from error
        self._held = True

    def close(self) -> None:
        """Release the lock, if this process has it; a child that has inherited the file does not keep it."""
        if self._descriptor is not None:
            if self._held:
                import fcntl

                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None
        elif self._beside is not None:
            self._beside.release(force=True)
        self._held = False

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
