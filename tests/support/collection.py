"""Hooks of pytest for all tests: quick collection, and an order that keeps all workers busy.

Importing and collecting thousands of tests makes millions of objects, none of them garbage. Looking through them again
and again takes more than half of the time of collection, and much of each test that trains: training collects garbage.
"""

from __future__ import annotations

import gc

import pytest

gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first: a long file that begins last keeps one worker busy while the others wait."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Have the garbage collector look only at what the tests make."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Let Python free everything at its end; libraries report what it cannot."""
    gc.unfreeze()
