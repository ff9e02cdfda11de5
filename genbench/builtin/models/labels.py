"""Labels as inputs of conditional networks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

import genbench


def require_classes(model: str, num_classes: int) -> None:
    """Raise `GenbenchError` where the dataset has no labels to condition on."""
    if num_classes < 1:
        raise genbench.GenbenchError(
            f"Model '{model}' is conditional: it needs a labelled dataset, but this one has {num_classes} classes.",
            "Choose a dataset with labels, or an unconditional model.",
        )


def append_one_hot(vectors: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Return vectors (B, d) with the one-hot labels (B,) appended: (B, d + num_classes)."""
    return torch.cat([vectors, one_hot(labels, num_classes).to(vectors.dtype)], dim=1)
