"""Models of pythae under genbench's protocol; genbench reads their names and options without importing pythae or torch.

They form a separate family, `pythae`: a model's loss is whatever its own forward pass returns, so there is only one
loss, `pythae`, and what other libraries call a loss is a model here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import genbench
from genbench_pythae.catalogue import WRAPPED
from genbench_pythae.configs import default_latent_dim, option_class

if TYPE_CHECKING:
    from torch import nn


def build(
    name: str, image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: Any
) -> Mapping[str, nn.Module]:
    """Return the networks of the named model; see `genbench_pythae.networks`."""
    from genbench_pythae import networks

    return networks.build(name, image_shape, latent_dim, options)


def create_loss(options: None) -> None:
    """Return None: the loss is part of the model."""


@genbench.hookimpl
def genbench_families() -> Iterable[genbench.FamilySpec]:
    """Yield the family."""
    yield genbench.FamilySpec(
        name="pythae",
        summary="autoencoders of pythae (unmaintained upstream), each with its own loss",
        create="genbench_pythae.family:create",
        networks=("autoencoder",),
        reconstructs=True,
        dropout=("autoencoder",),
    )


@genbench.hookimpl
def genbench_models() -> Iterable[genbench.ModelSpec]:
    """Yield the models, with the options of pythae's config classes and the recipe of its MNIST benchmark."""
    for wrapped in WRAPPED:
        yield genbench.ModelSpec(
            name=wrapped.name,
            family="pythae",
            summary=f"pythae's {wrapped.model} (unmaintained upstream): {wrapped.summary}",
            build=functools.partial(build, wrapped.name),
            default_loss="pythae",
            value_range=(0.0, 1.0),
            latent_dim=default_latent_dim(wrapped.config),
            recipe={"batch_size": 100, "learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999},
            paper=wrapped.paper,
            options=option_class(wrapped.config, wrapped.without),
        )


@genbench.hookimpl
def genbench_losses() -> Iterable[genbench.LossSpec]:
    """Yield the loss."""
    yield genbench.LossSpec(
        name="pythae",
        family="pythae",
        summary="what the model's own forward pass returns",
        create=create_loss,
        formula="the model's own: E over the batch of errors summed over pixels and divergences summed over latents",
        source="pythae, models/*/*_model.py",
    )
