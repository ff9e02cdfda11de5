"""Built-in losses, one folder per family: its `__init__` has options, formulas and sources, the modules functions."""

from __future__ import annotations

from collections.abc import Iterable

import genbench
from genbench.builtin.losses import adversarial, variational, vector_quantised


@genbench.hookimpl
def genbench_losses() -> Iterable[genbench.LossSpec]:
    """Yield the built-in losses."""
    yield from adversarial.specs()
    yield from variational.specs()
    yield from vector_quantised.specs()
