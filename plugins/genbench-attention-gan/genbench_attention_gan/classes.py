"""The classes that a conditional model needs."""

from __future__ import annotations

import genbench


def require_classes(model: str, num_classes: int) -> None:
    """Raise `GenbenchError` where the dataset has no labels to condition on."""
    if num_classes < 1:
        raise genbench.GenbenchError(
            f"Model '{model}' is conditional: it needs a labelled dataset, but this one has {num_classes} classes.",
            f"Choose a dataset with labels, or '{model}-unconditional'.",
        )
