"""The cache directory: files that can be recreated or downloaded again."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from genbench.system.opening import is_protected, temporary_directory


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


def make_private(directory: Path) -> bool:
    """Create a directory if it is missing; return whether no other user can write to it or replace it."""
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A test that also holds for root, whom permissions do not stop.
        with tempfile.TemporaryFile(dir=directory):
            pass
        return is_protected(directory.resolve(strict=True))
    except (OSError, RuntimeError):
        return False
