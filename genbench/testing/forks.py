"""Detecting forks of this process by a plugin, and stopping the forked copies before they repeat the work."""

from __future__ import annotations

import os

_count = 0  # every fork of this process, whatever started it


def _increment() -> None:
    global _count
    _count += 1


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(after_in_parent=_increment)


def fork_count() -> int:
    """Return how many times this process has been forked so far."""
    return _count


def exit_if_forked(owner: int) -> None:
    """Exit this process unless its id is that of the owner."""
    if os.getpid() != owner:
        os._exit(0)
