"""Properties of a process that exist only on Linux."""

from __future__ import annotations

import contextlib
import ctypes

from genbench.system.means import uses_linux

PR_SET_PDEATHSIG = 1  # the signal that this process gets when its parent dies


def prctl(option: int, value: int) -> None:
    """Set a property of this process on Linux; do nothing elsewhere."""
    if uses_linux():
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
