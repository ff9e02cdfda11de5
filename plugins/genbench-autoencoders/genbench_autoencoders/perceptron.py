"""Multilayer perceptrons, with labels (one-hot) as further inputs where a model is conditional."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding

import genbench


class Perceptron(nn.Module):
    """Dense layers with ReLU between them, from (B, …) to (B, *output_shape)."""

    one_hot: Tensor

    def __init__(self, inputs: int, widths: Sequence[int], output_shape: Sequence[int], classes: int = 0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        size = inputs + classes
        for width in widths:
            layers += [nn.Linear(size, width), nn.ReLU()]
            size = width
        self.layers = nn.Sequential(*layers, nn.Linear(size, math.prod(output_shape)))
        self.output_shape = tuple(output_shape)
        self.register_buffer("one_hot", torch.eye(classes), persistent=False)

    def forward(self, values: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return (B, *output_shape)."""
        values = values.flatten(1)
        if labels is not None:
            values = torch.cat([values, embedding(labels, self.one_hot).to(values.dtype)], 1)
        return self.layers(values).unflatten(1, self.output_shape)  # type: ignore[no-any-return]


def require_classes(model: str, num_classes: int) -> None:
    """Raise `GenbenchError` where the dataset has no labels to condition on."""
    if num_classes < 1:
        raise genbench.GenbenchError(
            f"Model '{model}' is conditional: it needs a labelled dataset, but this one has {num_classes} classes.",
            "Choose a dataset with labels, or an unconditional model.",
        )
