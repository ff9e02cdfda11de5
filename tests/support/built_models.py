"""Built-in models at any size, for the tests of models."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import genbench
from genbench.api.images import Shape
from genbench.api.recipe import resolve_recipe
from genbench.api.shape_rule import example_shapes
from genbench.api.specs import ModelSpec, resolve
from genbench.builtin.families import genbench_families
from genbench.builtin.losses import genbench_losses
from genbench.builtin.models import genbench_models

SPECS: dict[str, ModelSpec] = {spec.name: spec for spec in genbench_models()}
FAMILIES = {spec.name: spec for spec in genbench_families()}
LOSSES = {spec.name: spec for spec in genbench_losses()}
CLASSES = 3
ANY_SHAPE: tuple[Shape, ...] = ((1, 28, 28), (3, 20, 12), (2, 7, 5))  # for models that accept any shape


def shapes(name: str) -> tuple[Shape, ...]:
    declared = SPECS[name].image_shapes
    return ANY_SHAPE if declared is None else example_shapes(declared)


def build(name: str, shape: Shape, classes: int | None = None, **options: Any) -> dict[str, nn.Module]:
    """Build with default options, except for `options`."""
    spec = SPECS[name]
    values = {option.name: option.default for option in spec.option_schema} | options
    classes = (CLASSES if spec.conditional else 0) if classes is None else classes
    return dict(
        resolve(spec.build)(
            image_shape=shape,
            latent_dim=spec.default_latent_dim(shape),
            num_classes=classes,
            options=spec.make_options(values),
        )
    )


def tiny(name: str) -> dict[str, Any]:
    """Return the smallest sensible value of each integer option."""
    return {
        option.name: min(option.default, max(8, int(option.minimum or 0)))
        for option in SPECS[name].option_schema
        if isinstance(option.default, int) and not isinstance(option.default, bool)
    }


def family(name: str, networks: dict[str, nn.Module], loss: str = "", **recipe: Any) -> genbench.Family:
    """Return the model's family with these networks, with its default loss unless another is given."""
    spec = SPECS[name]
    chosen = LOSSES[loss or spec.default_loss]
    defaults = {option.name: option.default for option in chosen.option_schema}
    setup = genbench.Setup(
        networks=networks,
        loss=resolve(chosen.create)(chosen.make_options(defaults)),
        model=spec,
        latent_dim=spec.latent_dim or 1,
        num_classes=CLASSES if spec.conditional else 0,
        recipe=resolve_recipe(spec.recipe, {"discriminator_steps": 1, **recipe}).settings,
        device=torch.device("cpu"),
        train_size=64,
    )
    made: genbench.Family = resolve(FAMILIES[spec.family].create)(setup)
    return made


def images(name: str, count: int, shape: Shape, seed: int = 0) -> torch.Tensor:
    """Return noise over the model's whole value range; each image has another mean brightness."""
    low, high = SPECS[name].value_range
    noise = torch.rand(count, *shape, generator=rng(seed)) ** torch.linspace(0.3, 3, count).view(-1, 1, 1, 1)
    return low + (high - low) * noise


def labels(name: str, count: int) -> torch.Tensor | None:
    return torch.arange(count) % CLASSES if SPECS[name].conditional else None


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
