"""A family, a model and a loss that do nothing, to measure the cost of the harness itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import genbench

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class NullFamily:
    """One phase without networks, whose objective returns a precomputed constant."""

    def __init__(self, setup: genbench.Setup) -> None:
        import torch

        self.setup = setup
        self._objective = genbench.Objective(torch.zeros((), device=setup.device), {})

    def phases(self) -> Sequence[genbench.Phase]:
        """Return the phase that does nothing."""
        return (genbench.Phase("nothing", (), lambda batch: self._objective),)

    def sample(self, count: int, rng: torch.Generator, labels: Tensor | None = None) -> Tensor:
        """Return uniform noise."""
        import torch

        return torch.rand((count, *self.setup.image_shape), generator=rng, device=self.setup.device)

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Raise `NotImplementedError`: nothing can reconstruct images."""
        raise NotImplementedError


def build(image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: None) -> dict[str, nn.Module]:
    """Return no networks."""
    return {}


def create_loss(options: None) -> None:
    """Return None."""


@genbench.hookimpl
def genbench_families() -> Iterable[genbench.FamilySpec]:
    """Yield the family."""
    yield genbench.FamilySpec(name="null", summary="does nothing", create=NullFamily)


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the model."""
    yield genbench.ModelSpec(
        name="null",
        family="null",
        summary="does nothing: measures the harness itself",
        build=build,
        default_loss="null",
        value_range=(0.0, 1.0),
    )


@genbench.hookimpl
def genbench_losses() -> Iterable[genbench.LossSpec]:
    """Yield the loss."""
    yield genbench.LossSpec(name="null", family="null", summary="nothing", formula="0", create=create_loss)
