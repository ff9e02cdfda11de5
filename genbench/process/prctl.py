"""Properties of a process that only Linux knows."""

from __future__ import annotations

import contextlib
import ctypes
import sys

PR_SET_PDEATHSIG = 1  # Linux: signal to get when the parent dies


def prctl(option: int, value: int) -> None:
    """Set a property of this process, where the kernel knows it (Linux)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
