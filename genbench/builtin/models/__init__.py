"""Built-in models, one folder per family: its `__init__` has names, options and recipes, each module the networks."""

from __future__ import annotations

from collections.abc import Iterable

import genbench
from genbench.builtin.models import adversarial, variational, vector_quantised


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the built-in models."""
    yield from adversarial.specs()
    yield from variational.specs()
    yield from vector_quantised.specs()
