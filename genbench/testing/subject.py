"""The subject of the checks: one thing that a plugin registers, and tiny cells that use it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from genbench import __version__
from genbench.api.discriminators import unfit_output
from genbench.api.images import Shape
from genbench.api.options import Option, OptionValue, resolve_options
from genbench.api.recipe import resolve_recipe
from genbench.api.shape_rule import example_shapes
from genbench.api.specs import (
    ConfigurableSpec,
    FamilySpec,
    LossSpec,
    ModelSpec,
    Setup,
    Spec,
)
from genbench.api.training import Family
from genbench.data.loading import LoadedData
from genbench.planning.identity import IDENTITY_VERSION, origin
from genbench.planning.settings import Settings, chosen_latent_dim, own_settings
from genbench.plugins.catalogue import Catalogue, Entry
from genbench.plugins.loader import Kind
from genbench.results.schema import CellIdentity, Choice
from genbench.seeds import seed_globals
from genbench.testing.findings import NotApplicable
from genbench.testing.forks import exit_if_forked
from genbench.train.builder import Built, build_cell
from genbench.train.exchanges import create_family, create_loss
from genbench.train.network_checks import LOSS_NETWORK, build_networks, loss_module

BATCH = 4
CLASSES = 3
TRAINING_IMAGES = 24
MAX_SHAPES = 6  # of those that a model declares, the smallest first
CPU = torch.device("cpu")
PARTNERS = {"adversarial": "gan", "variational": "vae"}  # the models with which losses of these families are checked


@dataclass(eq=False)
class Subject:
    """One thing that a plugin registers, such as a model or a reporter, and the catalogue that it comes from."""

    kind: Kind
    name: str
    catalogue: Catalogue
    settings: Settings = field(default_factory=dict)  # option values by name, as with `--set`
    notes: list[str] = field(default_factory=list)  # what its code changed in the process
    process: int = field(default_factory=os.getpid)  # id of the process in which the checks run
    _losses: dict[nn.Module | None, Any] = field(default_factory=dict)  # module of `networks()` -> the loss that has it

    @property
    def entry(self) -> Entry[Any]:
        """Its spec and its plugin."""
        return self.catalogue.require(self.kind, self.name)

    @property
    def spec(self) -> Any:
        """Its spec."""
        return self.entry.spec

    @cached_property
    def model(self) -> ModelSpec:
        """The model of its cells: itself, or one to check a loss or family with; raises `NotApplicable` without one."""
        spec: Spec = self.spec
        if isinstance(spec, ModelSpec):
            return spec
        models = [entry.spec for entry in self.catalogue.models.values()]
        if isinstance(spec, LossSpec):
            usual = [m for m in models if m.default_loss == spec.name and not m.conditional]
            known = [m for m in models if m.name == PARTNERS.get(spec.family)]
            same = [m for m in models if m.family == spec.family]
            candidates = [*known, *usual, *same] if self.entry.plugin.origin == "builtin" else [*usual, *known, *same]
            candidates = [m for m in candidates if not unfit_output(m.discriminator_output, spec.discriminator_outputs)]
        else:
            candidates = [m for m in models if m.family == spec.name]
        if not candidates:
            raise NotApplicable("there is no model to check it with")
        found: ModelSpec = candidates[0]
        return found

    @cached_property
    def loss(self) -> LossSpec:
        """The loss of its cells: itself, or the model's default."""
        spec = self.spec
        if isinstance(spec, LossSpec):
            return spec
        found: LossSpec = self.catalogue.require("losses", self.model.default_loss).spec
        return found

    @property
    def family(self) -> FamilySpec:
        """The family of its cells."""
        found: FamilySpec = self.catalogue.require("families", self.model.family).spec
        return found

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The image shapes that it is checked with, the smallest first."""
        declared = example_shapes(self.model.image_shapes)
        return tuple(sorted(declared, key=lambda shape: (shape[1] * shape[2], shape[0])))[:MAX_SHAPES]

    def options(self, kind: Kind, spec: ConfigurableSpec) -> dict[str, OptionValue]:
        """Return every option's value: as given, else a small one for a built-in model, else the default."""
        given = own_settings(self.settings, spec)
        small: dict[str, OptionValue] = {}
        if kind == "models" and self.catalogue.models[spec.name].plugin.origin == "builtin":
            small = smallest_values(spec.option_schema)
        return resolve_options(spec.option_schema, {**small, **given}, spec.name)

    def identity(self, shape: Shape | None = None, seed: int = 0, **recipe: OptionValue) -> CellIdentity:
        """Return the identity of a tiny cell of this model, loss and family."""
        model, loss = self.model, self.loss
        shape = shape or self.shapes[0]
        steps = {"batch_size": BATCH, "discriminator_steps": 1, "images": 16 * BATCH, "energy_seconds": 0.0}
        entries = self.catalogue
        return CellIdentity(
            identity_version=IDENTITY_VERSION,
            model=_choice(entries.models[model.name], self.options("models", model)),
            family=_choice(entries.require("families", model.family), {}),
            loss=_choice(entries.losses[loss.name], self.options("losses", loss)),
            dataset=_choice(next(iter(entries.datasets.values())), {}),
            image_shape=shape,
            latent_dim=chosen_latent_dim(self.settings, model, shape),
            recipe=resolve_recipe(model.recipe, loss.recipe, steps, recipe, owner=model.name).settings,
            device="cpu",
            seed=seed,
            metrics=(),
            genbench=__version__,
        )

    def cell(self, shape: Shape | None = None, seed: int = 0, device: torch.device = CPU, **recipe: Any) -> Built:
        """Build a tiny cell with the code that a run uses, and a few images of noise."""
        identity = self.identity(shape, seed, **recipe)
        built = build_cell(identity, self.catalogue, self.data(identity.image_shape), device, self.notes)
        exit_if_forked(self.process)
        return built

    def networks(self, shape: Shape | None = None, seed: int = 0) -> dict[str, nn.Module]:
        """Seed and build only the networks, including the loss's own; check nothing but that they are networks."""
        identity = self.identity(shape, seed)
        seed_globals(seed)
        networks = build_networks(identity, self.model, self.family, self.classes)
        exit_if_forked(self.process)
        loss = self.create_loss()
        module = loss_module(loss)
        if module is None:
            return networks
        self._losses[module] = loss
        return {**networks, LOSS_NETWORK: module}

    def create_loss(self) -> Any:
        """Create the loss."""
        return create_loss(self.loss, self.options("losses", self.loss))

    def create_family(
        self, networks: Mapping[str, nn.Module], device: torch.device = CPU, shape: Shape | None = None
    ) -> Family:
        """Create the family for these networks, which were built for this shape; None: the first shape."""
        identity = self.identity(shape)
        setup = Setup(
            networks=networks,
            loss=self._losses.get(networks.get(LOSS_NETWORK)) or self.create_loss(),
            model=self.model,
            latent_dim=identity.latent_dim,
            num_classes=self.classes,
            recipe=identity.recipe,
            device=device,
            train_size=TRAINING_IMAGES,
            image_shape=identity.image_shape,
        )
        return create_family(self.family, setup)

    @property
    def classes(self) -> int:
        """The number of classes of its images: 0 for a model that is not conditional."""
        return CLASSES if self.model.conditional else 0

    def labels(self, count: int) -> Tensor | None:
        """Return labels that cover every class, or None if the model is not conditional."""
        return torch.arange(count) % CLASSES if self.model.conditional else None

    def data(self, shape: Shape) -> LoadedData:
        """Return noise that covers all grey values, with images of decreasing brightness and labels of all classes."""
        pixels = noise(TRAINING_IMAGES, shape).mul(255).round().to(torch.uint8)
        return LoadedData(pixels, self.labels(TRAINING_IMAGES), pixels[:8], self.labels(8), self.classes, "", ())

    def images(self, count: int, shape: Shape, seed: int = 0) -> Tensor:
        """Return such noise, scaled to the model's value range."""
        low, high = self.model.value_range
        return low + (high - low) * noise(count, shape, seed)

    def note(self, change: str) -> None:
        """Record a change of the process, once."""
        if change not in self.notes:
            self.notes.append(change)


def copy_weights(source: Built, target: Built) -> None:
    """Copy the weights of one cell to another."""
    for name, network in source.engine.networks.items():
        target.engine.networks[name].load_state_dict(network.state_dict())


def noise(count: int, shape: Shape, seed: int = 0) -> Tensor:
    """Return (count, *shape) values in [0, 1); each image is darker on average than the one before."""
    exponents = torch.linspace(0.3, 3, count).view(-1, 1, 1, 1)
    return torch.rand(count, *shape, generator=rng(seed)) ** exponents


def rng(seed: int = 0) -> torch.Generator:
    """Return a seeded generator on the CPU."""
    return torch.Generator().manual_seed(seed)


def smallest_values(schema: tuple[Option, ...]) -> dict[str, OptionValue]:
    """Return a small value for every integer option: 8, or its minimum if larger, but at most its default."""
    return {
        option.name: min(option.default, max(8, int(option.minimum or 0)))
        for option in schema
        if isinstance(option.default, int) and not isinstance(option.default, bool)
    }


def _choice(entry: Entry[Any], options: Mapping[str, OptionValue]) -> Choice:
    return Choice(name=entry.spec.name, options=dict(options), origin=origin(entry.plugin))
