"""Opening and replacing files: without waiting for a pipe, without following links, and as bytes on every system."""

from __future__ import annotations

import os
import select
import stat
import sys
import tempfile
import time
from pathlib import Path

from genbench.system.means import uses_linux

# Windows would translate line ends without the first. The others exist on Linux and macOS, and close what a child
# does not need, let an open of a pipe return, and refuse a link.
_BINARY = getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
_AT_ONCE = getattr(os, "O_NONBLOCK", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_REPLACE_SECONDS = 2.0  # for which a file that another process has open cannot be replaced on Windows


def open_to_read(path: Path, follow_link: bool = True) -> int:
    """Return the descriptor of a file; opening a pipe does not wait for its writer."""
    return os.open(path, os.O_RDONLY | _BINARY | _AT_ONCE | (0 if follow_link else _NO_LINK))


def open_new(path: Path, mode: int = 0o666) -> int:
    """Return the descriptor of a new file to write to; raise `FileExistsError` if there is one, also a link."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY | _NO_LINK, mode)


def open_to_append(path: str) -> int:
    """Return the descriptor of a file to append to, which is created if it is missing."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _BINARY, 0o644)


def replace(source: Path, target: Path) -> None:
    """Give a file the name of another one, which it replaces at once.

    Windows refuses that while any process has the other one open, which takes a moment where one reads it.
    """
    deadline = time.monotonic() + _REPLACE_SECONDS
    while True:
        try:
            os.replace(source, target)  # noqa: PTH105 - one call that a test can make fail
        except PermissionError:
            if sys.platform != "win32" or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def is_own(found: os.stat_result) -> bool:
    """Return whether a file belongs to this user. Windows does not say: who may write there depends on the folder."""
    return sys.platform == "win32" or found.st_uid == os.geteuid()


def is_for_owner_only(found: os.stat_result) -> bool:
    """Return whether a regular file belongs to this user, and nobody else may read it or write to it."""
    return stat.S_ISREG(found.st_mode) and is_own(found) and (sys.platform == "win32" or not found.st_mode & 0o077)


def is_protected(directory: Path) -> bool:
    """Return whether no other user can write to this existing directory or replace it, as far as the system says.

    Windows tells no owner: what lies in the user's profile, as its temporary files do, is taken for protected.
    """
    if sys.platform == "win32":
        home = Path.home().resolve()
        return home in directory.parents or Path(tempfile.gettempdir()).resolve() in directory.parents
    status = directory.stat()
    owned = is_own(status) and not _writable_by_others(status)
    return owned and all(_keeps_entries(parent.stat()) for parent in directory.parents)


def _keeps_entries(found: os.stat_result) -> bool:
    """Return whether other users cannot rename what is in this directory."""
    ours = found.st_uid in (0, os.geteuid())
    return ours and (not _writable_by_others(found) or bool(found.st_mode & stat.S_ISVTX))


def _writable_by_others(found: os.stat_result) -> bool:
    """Return whether anybody else may write; a group with the number of its user has no other members."""
    private_group = found.st_gid == os.getegid() == os.geteuid()
    return bool(found.st_mode & (0o002 if private_group else 0o022))


def temporary_directory(name: str) -> Path:
    """Return the path of this user's directory of that name below the system's directory for temporary files."""
    user = "" if sys.platform == "win32" else f"-{os.geteuid()}"  # there, each user has a directory of their own
    return Path(tempfile.gettempdir()) / f"genbench-{name}{user}"


def is_output_closed() -> bool:
    """Return whether the reader of standard output or error has left.

    Only Linux says so; elsewhere a broken pipe is taken for one of them.
    """
    if not uses_linux():
        return True
    watched = select.poll()
    watched.register(1, 0)
    watched.register(2, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in watched.poll(0))
