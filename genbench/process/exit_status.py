"""How a process ended, in words."""

from __future__ import annotations

import contextlib
import os
import signal


def describe_status(status: int) -> str:
    """Return in words how a process ended, from what `os.waitpid` says."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(number).name}"
        return f"was ended by signal {number}"
    return f"ended by itself with exit status {os.waitstatus_to_exitcode(status)}"
