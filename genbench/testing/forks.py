"""Copies of the process that a plugin forks and lets run on: counted, and ended before they do the same work again."""

from __future__ import annotations

import os

_forks = [0]  # in this process, of whatever kind


def _count() -> None:
    _forks[0] += 1


os.register_at_fork(after_in_parent=_count)


def forks() -> int:
    """Return how often this process was forked so far."""
    return _forks[0]


def end_copy(owner: int) -> None:
    """End this process where it is not the one of that id."""
    if os.getpid() != owner:
        os._exit(0)
