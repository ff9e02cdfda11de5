"""Callbacks that report how many images were read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[int, int], None]  # (images read, images in total)


def ignore_progress(done: int, total: int) -> None:
    """Do nothing."""
