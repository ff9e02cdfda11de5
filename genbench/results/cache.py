"""Where genbench keeps what can be made, or fetched, again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_directory() -> Path:
    """Return where downloads and the like are kept: $GENBENCH_CACHE, else a folder in the user's cache."""
    chosen = os.environ.get("GENBENCH_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genbench"
