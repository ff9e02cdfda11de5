"""The cache directory: files that can be recreated or downloaded again."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def cache_directory() -> Path:
    """Return the cache directory: $GENBENCH_CACHE, or else a folder in the user's cache.

    A user without a home directory, as in a container, gets one below the system's directory for temporary files.
    """
    chosen = os.environ.get("GENBENCH_CACHE")
    try:
        if chosen:
            return Path(chosen).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genbench"
    except RuntimeError:  # there is no home directory
        return Path(chosen or temporary_directory("cache"))


def temporary_directory(name: str) -> Path:
    """Return the path of this user's directory of that name below the system's directory for temporary files."""
    return Path(tempfile.gettempdir()) / f"genbench-{name}-{os.geteuid()}"


def make_private(directory: Path) -> bool:
    """Create a directory if it is missing; return whether no other user can write to it or replace it."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A test that also holds for root, whom permissions do not stop.
        with tempfile.TemporaryFile(dir=directory):
            pass
        found = directory.resolve(strict=True)
        status = found.stat()
        owned = status.st_uid == os.geteuid() and not _writable_by_others(status)
        return owned and all(_is_protected(parent.stat()) for parent in found.parents)
    except (OSError, RuntimeError):
        return False


def _is_protected(found: os.stat_result) -> bool:
    """Return whether other users cannot rename what is in this directory."""
    ours = found.st_uid in (0, os.geteuid())
    return ours and (not _writable_by_others(found) or bool(found.st_mode & stat.S_ISVTX))


def _writable_by_others(found: os.stat_result) -> bool:
    """Return whether anybody else may write; a group with the number of its user has no other members."""
    private_group = found.st_gid == os.getegid() == os.geteuid()
    return bool(found.st_mode & (0o002 if private_group else 0o022))
