"""Describing how a process ended."""

from __future__ import annotations

import signal

_CRASHED = 0xC0000000  # the least of the statuses with which Windows ends a process that fails


def describe_exit(code: int) -> str:
    """Return how a process ended, from its return code: an exit status, or the negative number of a signal.

    Windows has no signals: a process that crashes there has a status such as 0xC0000005 (access violation).
    """
    if code >= _CRASHED:
        return f"crashed with status 0x{code:08X}"
    if code >= 0:
        return f"exited with status {code}"
    return f"was killed by {next((known.name for known in signal.Signals if known == -code), f'signal {-code}')}"
