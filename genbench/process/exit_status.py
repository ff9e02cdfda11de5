"""Describing how a process ended."""

from __future__ import annotations

import os
import signal


def describe_exit(code: int) -> str:
    """Return how a process ended, from its return code: an exit status, or the negative number of a signal."""
    if code >= 0:
        return f"exited with status {code}"
    return f"was killed by {next((known.name for known in signal.Signals if known == -code), f'signal {-code}')}"


def describe_wait_status(status: int) -> str:
    """Return how a process ended, from the status that `os.waitpid` returned."""
    return describe_exit(os.waitstatus_to_exitcode(status))
