"""The family `autoregressive`: a network predicts each pixel from those before it, trained by maximum likelihood.

A model's network is `predictor(levels) -> log_probabilities`: levels of images (B, channels, height, width), floats
with the values 0 … 255, become log P of each image in nats, (B,); `predictor.sample(count, rng) -> levels` draws
images. Conditional networks take labels (B,) as a last argument. What is predicted of a pixel, a mixture of densities
or a probability of each level, is up to the network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

import genbench

HIGHEST = 255  # level


class AutoregressiveNLL:
    """The loss, which has no options: the network defines the likelihood."""

    def __init__(self, options: None) -> None:
        pass


class Autoregressive:
    """One player: the network."""

    def __init__(self, setup: genbench.Setup) -> None:
        if not isinstance(setup.loss, AutoregressiveNLL):
            raise TypeError(
                f"a loss of the family autoregressive creates an AutoregressiveNLL, not {type(setup.loss).__name__}"
            )
        if setup.model.value_range != (0.0, 1.0):
            raise genbench.GenbenchError(
                f"The value range of model '{setup.model.name}' is not (0, 1).",
                "The family autoregressive needs value_range=(0, 1).",
            )
        self.conditional = setup.model.conditional
        self.predictor = setup.networks["predictor"]

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the single phase."""
        return (genbench.Phase("predictor", ("predictor",), self.objective),)

    def objective(self, batch: genbench.Batch) -> genbench.Objective:
        """Return the mean negative log-likelihood in bits per pixel and channel."""
        nats = -self.log_likelihood(batch.images, batch.rng, batch.labels).mean()
        return genbench.Objective(nats / (batch.images[0].numel() * math.log(2)), {})

    @property
    def likelihood(self) -> genbench.Likelihood:
        """The probability of the levels."""
        return genbench.Likelihood("autoregressive", "discrete")

    def log_likelihood(self, images: Tensor, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return log P of images (B, …), (B,); no noise is drawn."""
        found: Tensor = self.predictor((images * HIGHEST).round(), *self._given(labels))
        return found

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return `count` images, drawn pixel by pixel."""
        levels: Tensor = self.predictor.sample(count, rng, *self._given(labels))  # type: ignore[operator]
        return levels / HIGHEST

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Raise: images are not encoded."""
        raise NotImplementedError("autoregressive models do not reconstruct")

    def _given(self, labels: Tensor | None) -> tuple[Tensor | None, ...]:
        """Return the further arguments of the network."""
        return (labels,) if self.conditional else ()


def require_classes(model: str, num_classes: int) -> None:
    """Raise `GenbenchError` if the dataset has no labels to condition on."""
    if num_classes < 1:
        raise genbench.GenbenchError(
            f"Model '{model}' is conditional: it needs a labelled dataset, but this one has no classes.",
            f"Choose a dataset with labels, or the model '{model.removeprefix('c')}'.",
        )
