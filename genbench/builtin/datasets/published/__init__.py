"""Published datasets, through torchvision's own classes with their checksums: names and options."""

from __future__ import annotations

from collections.abc import Iterable

import genbench


def specs() -> Iterable[genbench.DatasetSpec]:
    """Yield the specs."""
    yield from ()
