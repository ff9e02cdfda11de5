"""The cache directory: files that can be recreated or downloaded again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """Return the cache directory: $GENBENCH_CACHE, or else a folder in the user's cache."""
    chosen = os.environ.get("GENBENCH_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genbench"
