"""What is examined: one thing that a plugin registers, and tiny cells that it takes part in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from genbench import __version__
from genbench.api.images import Shape
from genbench.api.options import Option, OptionValue, resolve_options
from genbench.api.recipe import resolve_recipe
from genbench.api.specs import (
    ConfigurableSpec,
    FamilySpec,
    LossSpec,
    ModelSpec,
    Setup,
    Spec,
    resolve,
)
from genbench.api.training import Family
from genbench.data.loading import LoadedData
from genbench.plan.identity import IDENTITY_VERSION, origin
from genbench.plan.settings import Settings, chosen_latent_dim, own_settings
from genbench.plugins.catalogue import Catalogue, Entry
from genbench.plugins.loader import Kind
from genbench.results.schema import CellIdentity, Choice
from genbench.seeds import seed_globals
from genbench.testing.check import Check, Outcome
from genbench.testing.findings import NotApplicable
from genbench.testing.forks import end_copy
from genbench.train.builder import Built, build_cell
from genbench.train.network_checks import LOSS_NETWORK, build_networks

if TYPE_CHECKING:
    from genbench.testing.reporter_trial import ReporterTrial

BATCH = 4
CLASSES = 3
TRAINING_IMAGES = 24
ANY_SHAPE: tuple[Shape, ...] = ((1, 28, 28), (3, 32, 32))  # for models that take any
MOST_SHAPES = 6  # that are tried of a model that names its own, the smallest first
CPU = torch.device("cpu")
PARTNERS = {"adversarial": "gan", "variational": "vae"}  # models that losses of these families are tried with


@dataclass
class Subject:
    """One model, loss, dataset, metric, family, extractor or reporter, with the catalogue that it comes from."""

    kind: Kind
    name: str
    catalogue: Catalogue
    settings: Settings = field(default_factory=dict)  # options that were given, as `--set` does
    outcomes: dict[str, Outcome] = field(default_factory=dict)  # of the checks so far, by name
    notes: list[str] = field(default_factory=list)  # what its code changed of the process
    process: int = field(default_factory=os.getpid)  # that it is examined in

    @property
    def entry(self) -> Entry[Any]:
        """The spec that is examined, and its plugin."""
        return self.catalogue.require(self.kind, self.name)

    @property
    def spec(self) -> Any:
        """The spec that is examined."""
        return self.entry.spec

    @cached_property
    def model(self) -> ModelSpec:
        """The model of its cells: itself, or one to try a loss or a family with; raises `NotApplicable` without one."""
        spec: Spec = self.spec
        if isinstance(spec, ModelSpec):
            return spec
        models = [entry.spec for entry in self.catalogue.models.values()]
        if isinstance(spec, LossSpec):
            usual = [m for m in models if m.default_loss == spec.name and not m.conditional]
            known = [m for m in models if m.name == PARTNERS.get(spec.family)]
            same = [m for m in models if m.family == spec.family]
            candidates = [*known, *usual, *same] if self.entry.plugin.origin == "builtin" else [*usual, *known, *same]
        else:
            candidates = [m for m in models if m.family == spec.name]
        if not candidates:
            raise NotApplicable("there is no model to try it with")
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
        """The image shapes that it is tried with, the smallest first."""
        declared = self.model.image_shapes
        if declared is None:
            return ANY_SHAPE
        return tuple(sorted(declared, key=lambda shape: (shape[1] * shape[2], shape[0])))[:MOST_SHAPES]

    def options(self, kind: Kind, spec: ConfigurableSpec) -> dict[str, OptionValue]:
        """Return every option's value: given, else small for a built-in model, else the default."""
        given = own_settings(self.settings, spec)
        small: dict[str, OptionValue] = {}
        if kind == "models" and self.catalogue.models[spec.name].plugin.origin == "builtin":
            small = smallest(spec.option_schema)
        return resolve_options(spec.option_schema, {**small, **given}, spec.name)

    def identity(self, shape: Shape | None = None, seed: int = 0, **recipe: OptionValue) -> CellIdentity:
        """Return the identity of a tiny cell of this model, loss and family."""
        model, loss = self.model, self.loss
        steps = {"batch_size": BATCH, "discriminator_steps": 1, "images": 16 * BATCH, "energy_seconds": 0.0}
        entries = self.catalogue
        return CellIdentity(
            identity_version=IDENTITY_VERSION,
            model=_choice(entries.models[model.name], self.options("models", model)),
            family=_choice(entries.require("families", model.family), {}),
            loss=_choice(entries.losses[loss.name], self.options("losses", loss)),
            dataset=_choice(next(iter(entries.datasets.values())), {}),
            image_shape=shape or self.shapes[0],
            latent_dim=chosen_latent_dim(self.settings, model),
            recipe=resolve_recipe(model.recipe, loss.recipe, steps, recipe, owner=model.name).settings,
            device="cpu",
            seed=seed,
            metrics=(),
            genbench=__version__,
        )

    def cell(self, shape: Shape | None = None, seed: int = 0, device: torch.device = CPU, **recipe: Any) -> Built:
        """Build a tiny cell as a run does: the same code, a few images of noise."""
        identity = self.identity(shape, seed, **recipe)
        built = build_cell(identity, self.catalogue, self.data(identity.image_shape), device, self.notes)
        end_copy(self.process)
        return built

    def networks(self, shape: Shape | None = None, seed: int = 0) -> dict[str, nn.Module]:
        """Seed and build the networks alone, and the loss's own; nothing is checked but that they are networks."""
        identity = self.identity(shape, seed)
        seed_globals(seed)
        networks = build_networks(identity, self.model, self.family, self.classes)
        end_copy(self.process)
        module = getattr(self.created_loss(), "module", None)
        return {**networks, LOSS_NETWORK: module} if isinstance(module, nn.Module) else networks

    def created_loss(self) -> Any:
        """Return what the loss spec creates."""
        return resolve(self.loss.create)(self.loss.make_options(self.options("losses", self.loss)))

    def family_on(
        self, networks: Mapping[str, nn.Module], device: torch.device = CPU, shape: Shape | None = None
    ) -> Family:
        """Return the family on these networks, which were built for that shape; None: the first one."""
        identity = self.identity(shape)
        setup = Setup(
            networks=networks,
            loss=self.created_loss(),
            model=self.model,
            latent_dim=identity.latent_dim,
            num_classes=self.classes,
            recipe=identity.recipe,
            device=device,
            train_size=TRAINING_IMAGES,
            image_shape=identity.image_shape,
        )
        made: Family = resolve(self.family.create)(setup)
        return made

    @property
    def classes(self) -> int:
        """How many classes its images have: none for a model that is not conditional."""
        return CLASSES if self.model.conditional else 0

    def labels(self, count: int) -> Tensor | None:
        """Return labels that name every class, where the model is conditional."""
        return torch.arange(count) % CLASSES if self.model.conditional else None

    def data(self, shape: Shape) -> LoadedData:
        """Return noise over all grey values, brighter in one image than in the next, with labels for every class."""
        pixels = noise(TRAINING_IMAGES, shape).mul(255).round().to(torch.uint8)
        return LoadedData(pixels, self.labels(TRAINING_IMAGES), pixels[:8], self.labels(8), self.classes, "", ())

    def images(self, count: int, shape: Shape, seed: int = 0) -> Tensor:
        """Return such noise in the model's value range."""
        low, high = self.model.value_range
        return low + (high - low) * noise(count, shape, seed)

    @cached_property
    def trial(self) -> ReporterTrial:
        """What a reporter does when it is told of a run."""
        from genbench.testing.reporter_trial import run_trial

        return run_trial(self)

    def note(self, what: str) -> None:
        """Take down a change of the process, once."""
        if what not in self.notes:
            self.notes.append(what)

    def outcome(self, check: Check) -> Outcome:
        """Return what the check says, asking it once; see `genbench.testing.run_checks`."""
        from genbench.testing.run_checks import examine

        if check.name not in self.outcomes:
            self.outcomes[check.name] = examine(check, self)
        return self.outcomes[check.name]


def copy_weights(source: Built, target: Built) -> None:
    """Give one cell the weights of another."""
    for name, network in source.engine.networks.items():
        target.engine.networks[name].load_state_dict(network.state_dict())


def noise(count: int, shape: Shape, seed: int = 0) -> Tensor:
    """Return (count, *shape) values in [0, 1), brighter in one image than in the next."""
    exponents = torch.linspace(0.3, 3, count).view(-1, 1, 1, 1)
    return torch.rand(count, *shape, generator=rng(seed)) ** exponents


def rng(seed: int = 0) -> torch.Generator:
    """Return a seeded generator on the CPU."""
    return torch.Generator().manual_seed(seed)


def smallest(schema: tuple[Option, ...]) -> dict[str, OptionValue]:
    """Return the smallest sensible value of every whole-number option: 8, or what its range allows."""
    return {
        option.name: min(option.default, max(8, int(option.minimum or 0)))
        for option in schema
        if isinstance(option.default, int) and not isinstance(option.default, bool)
    }


def _choice(entry: Entry[Any], options: Mapping[str, OptionValue]) -> Choice:
    return Choice(name=entry.spec.name, options=dict(options), origin=origin(entry.plugin))
