"""What tests of a family need: the family of a model, and a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import genbench_autoencoders
import pytest
import torch

import genbench
from genbench.api.specs import resolve

MODELS = {spec.name: spec for spec in genbench_autoencoders.genbench_models()}
LOSSES = {spec.name: spec for spec in genbench_autoencoders.genbench_losses()}
FAMILIES = {spec.name: spec for spec in genbench_autoencoders.genbench_families()}
CPU = torch.device("cpu")


@pytest.fixture
def make_networks() -> Callable[..., Mapping[str, Any]]:
    """Return a function that builds the networks of a model by name: (model, shape, latent_dim, **options)."""

    def make(model: str, shape: genbench.Shape, latent_dim: int, **options: Any) -> Mapping[str, Any]:
        torch.manual_seed(0)
        spec = MODELS[model]
        values = {option.name: option.default for option in spec.option_schema} | options
        return resolve(spec.build)(shape, latent_dim, 10, spec.make_options(values))

    return make


@pytest.fixture
def make_family(make_networks: Callable[..., Mapping[str, Any]]) -> Callable[..., Any]:
    """Return a function that creates the family of a model: (model, shape, latent_dim, loss options, **options)."""

    def make(
        model: str, shape: genbench.Shape, latent_dim: int, loss: Mapping[str, Any] | None = None, **options: Any
    ) -> Any:
        spec = MODELS[model]
        networks = dict(make_networks(model, shape, latent_dim, **options))
        loss_spec = LOSSES[spec.default_loss]
        values = {option.name: option.default for option in loss_spec.option_schema} | dict(loss or {})
        made = resolve(loss_spec.create)(loss_spec.make_options(values))
        setup = genbench.Setup(networks, made, spec, latent_dim, 10, {"precision": "fp32"}, CPU, image_shape=shape)
        return resolve(FAMILIES[spec.family].create)(setup)

    return make


@pytest.fixture
def make_batch() -> Callable[..., genbench.Batch]:
    """Return a function that makes a batch of noise in [0, 1]: (count, shape)."""

    def make(count: int, shape: genbench.Shape) -> genbench.Batch:
        images = torch.rand((count, *shape), generator=torch.Generator().manual_seed(1))
        return genbench.Batch(images, None, torch.Generator().manual_seed(2), True, {})

    return make
