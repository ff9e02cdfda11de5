"""Datasets made from formulas, whose modes or factors are known: names and options."""

from __future__ import annotations

from collections.abc import Iterable

import genbench


def specs() -> Iterable[genbench.DatasetSpec]:
    """Yield the specs."""
    yield from ()
