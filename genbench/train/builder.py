"""Building a cell: from its plan to networks, family and engine, with a check of everything a plugin declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn

from genbench.api.recipe import Recipe, resolve_recipe
from genbench.api.specs import (
    FamilySpec,
    LossSpec,
    ModelSpec,
    Setup,
)
from genbench.api.training import Family
from genbench.data.augment import make_transform
from genbench.data.loader import LoaderImages
from genbench.data.loading import LoadedData
from genbench.data.resident import ResidentImages
from genbench.data.source import BatchSettings, Shard, TrainingImages
from genbench.errors import UsageError
from genbench.planning.initial_weights import initial_weights_path, is_unchanged
from genbench.planning.remedies import unused_by_family
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.process_guard import preserved_process_state
from genbench.results.schema import CellIdentity, Transfer
from genbench.seeds import rank_purpose, seed_globals, seeded_generator
from genbench.train.batch_norm import require_several_values
from genbench.train.discriminator_augment import make_discriminator_augment
from genbench.train.ema import AveragedWeights
from genbench.train.engine import Engine
from genbench.train.engines.distributed import DataParallel
from genbench.train.exchanges import create_family, create_loss, family_phases, with_checked_objectives
from genbench.train.loss_functions import make_replaceable
from genbench.train.memory_format import default_memory_format
from genbench.train.network_checks import (
    LOSS_NETWORK,
    build_networks,
    check_likelihood,
    check_output,
    check_phases,
    loss_module,
)
from genbench.train.optimizers import make_optimizers
from genbench.train.phase_recipe import changed_settings
from genbench.train.process_group import World
from genbench.train.regularisation import add_dropout
from genbench.train.transfer import freeze, load_initial, require_trainable
from genbench.train.update_rules import make_update_rules


@dataclass(frozen=True)
class Built:
    """A cell that is ready to train."""

    model: ModelSpec
    family_spec: FamilySpec
    setup: Setup
    engine: Engine
    recipe: Recipe
    transfer: Transfer | None  # what was loaded from a file of initial weights
    frozen: list[str]  # parameters that the recipe freezes
    changed: frozenset[str]  # optimiser settings that the user changed from the defaults of model and loss

    @property
    def unused_settings(self) -> dict[str, str]:
        """The fields of the recipe that do nothing in the cell's family, each with the reason."""
        phases = [player.phase for player in self.engine.players]
        return unused_by_family(self.recipe, self.family_spec, self.setup.networks, phases)

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory format of networks and batches."""
        return self.engine.memory_format

    @property
    def sampled_weights(self) -> str:
        """Which weights are sampled: 'averaged' or 'raw'."""
        averaged = self.engine.average is not None and self.recipe.sample_weights == "averaged"
        return "averaged" if averaged else "raw"

    @property
    def sampled_networks(self) -> dict[str, nn.Module]:
        """All networks; the averaged ones replace the raw ones if averaged weights are sampled."""
        average = self.engine.average if self.sampled_weights == "averaged" else None
        return {**self.setup.networks, **(average.networks if average else {})}

    def family_for_sampling(self) -> Family:
        """Return the family with the weights that are sampled."""
        setup = replace(self.setup, networks=self.sampled_networks)
        return create_family(self.family_spec, setup)


def build_cell(
    identity: CellIdentity,
    catalogue: Catalogue,
    data: LoadedData,
    device: torch.device,
    notes: list[str] | None = None,
    world: World | None = None,
) -> Built:
    """Seed, build the networks, and combine them with data and optimisers on the device.

    Process-wide state that a plugin changes is restored and reported in `notes`. If several processes train the cell
    (`world`), each builds the same networks, but has its own noise and its own part of each batch.
    """
    world = world or World()
    model: ModelSpec = catalogue.require("models", identity.model.name).spec
    family_spec: FamilySpec = catalogue.require("families", identity.family.name).spec
    loss_spec: LossSpec = catalogue.require("losses", identity.loss.name).spec
    recipe = resolve_recipe(identity.recipe, owner=model.name)
    batch_size = recipe.batch_size
    if batch_size > len(data.train_pixels):
        raise UsageError(
            f"batch_size {batch_size} is larger than the {len(data.train_pixels)} training images of "
            f"'{identity.dataset.name}'.",
            f"Use --batch-size {len(data.train_pixels)} or less.",
            code="GB509",
        )
    if model.conditional and data.train_labels is None:
        raise UsageError(
            f"Model '{model.name}' needs labels, dataset '{identity.dataset.name}' has none.",
            "Choose a model that is not conditional, or data with classes; in a folder, one sub-folder per class.",
            code="GB208",
        )

    seed_globals(identity.seed)
    with _put_back(f"building '{model.name}'", notes):
        networks = build_networks(identity, model, family_spec, data.num_classes)
    with _put_back(f"creating the loss '{loss_spec.name}'", notes):
        loss = create_loss(loss_spec, identity.loss.options)
    loss, functions = make_replaceable(loss, loss_spec)
    module = loss_module(loss)
    if module is not None:
        networks[LOSS_NETWORK] = module
    transfer = load_initial_weights(recipe.init_from, identity.init_hash, networks)
    frozen = freeze(networks, recipe.freeze)
    memory_format = default_memory_format(networks)
    for network in networks.values():
        network.to(device=device, memory_format=memory_format)  # type: ignore[call-overload]
        network.train()
    if batch_size == world.size:
        require_several_values(networks)
    if recipe.dropout > 0:
        add_dropout(networks, family_spec.dropout or family_spec.networks or tuple(networks), recipe.dropout)
    augmentation = make_discriminator_augment(recipe, model.value_range, batch_size, device)
    setup = Setup(
        networks=networks,
        loss=loss,
        model=model,
        latent_dim=identity.latent_dim,
        num_classes=data.num_classes,
        recipe=recipe.settings,
        device=device,
        train_size=len(data.train_pixels),
        image_shape=identity.image_shape,
        augmentation=augmentation,
    )
    with _put_back(f"creating the family '{family_spec.name}'", notes):
        family = create_family(family_spec, setup)
    check_likelihood(family, family_spec)
    check_output(family, model, identity, data, device, networks)
    phases = family_phases(family, family_spec)
    check_phases(phases, networks, family_spec)
    require_trainable(networks, phases, frozen)
    phases = with_checked_objectives(phases, model, networks, device)
    changed = changed_settings(recipe, model, loss_spec)
    optimizers = make_optimizers(networks, phases, recipe, changed)
    engine = Engine(
        networks=networks,
        phases=phases,
        data=_training_images(identity, data, model, memory_format, device, recipe, Shard(world.rank, world.size)),
        rng=seeded_generator(identity.seed, rank_purpose("training noise", world.rank), device),
        optimizers=optimizers,
        precision=recipe.precision,
        average=_average(networks, family_spec, recipe),
        budget=recipe.images,
        rules=make_update_rules(networks, optimizers, recipe, model.orthogonal),
        augmentation=augmentation,
        functions=functions,
    )
    engine.memory_format = memory_format
    if world.size > 1:
        engine.execution = DataParallel(engine)
    if world.rank:
        seed_globals(identity.seed, rank_purpose("global", world.rank))
    return Built(model, family_spec, setup, engine, recipe, transfer, frozen, changed)


@contextmanager
def _put_back(what: str, notes: list[str] | None) -> Iterator[None]:
    """Restore process-wide state that a plugin changes, and report it; initialisers may draw global random numbers."""
    seed = torch.initial_seed()
    try:
        with preserved_process_state(randomness=False) as changes:
            yield
    finally:
        if torch.initial_seed() != seed:
            torch.manual_seed(seed)
            changes.append("the seed of torch's global random numbers")
        told = [f"{what} changed {change}: restored" for change in changes]
        if notes is not None:
            notes += [note for note in told if note not in notes]


def _training_images(
    identity: CellIdentity,
    data: LoadedData,
    model: ModelSpec,
    memory_format: torch.memory_format,
    device: torch.device,
    recipe: Recipe,
    shard: Shard,
) -> TrainingImages:
    settings = BatchSettings(
        pixels=data.train_pixels,
        labels=data.train_labels if model.conditional else None,
        batch_size=recipe.batch_size,
        value_range=model.value_range,
        device=device,
        rng=seeded_generator(identity.seed, "data order", device),
        memory_format=memory_format,
        transform=make_transform(recipe),
        shard=shard,
    )
    if recipe.input == "loader":
        return LoaderImages(settings, workers=recipe.loader_workers)
    return ResidentImages(settings, copy=data.mapped)


def _average(networks: Mapping[str, nn.Module], family: FamilySpec, recipe: Recipe) -> AveragedWeights | None:
    if recipe.ema_half_life <= 0:
        return None
    chosen = family.averaged or tuple(networks)
    return AveragedWeights({name: networks[name] for name in chosen}, recipe.ema_half_life, recipe.ema_ramp)


def load_initial_weights(source: str, expected_hash: str, networks: Mapping[str, nn.Module]) -> Transfer | None:
    """Load initial weights by name and shape; return what was and was not loaded, or None without a source.

    Args:
        source: RUN:CELL or a file, as in the recipe's `init_from`; may be empty.
        expected_hash: hash of the weights when the run was planned; empty: not checked.
        networks: receive the weights.
    """
    if not source:
        return None
    path = initial_weights_path(source)
    if expected_hash and not is_unchanged(path, expected_hash):
        raise UsageError(
            f"{path} has changed since this run was planned.",
            "Restore it, or start a new run from the new weights.",
            code="GB508",
        )
    report = load_initial(networks, path)
    return Transfer(
        source=source,
        taken=list(report.taken),
        missing=list(report.missing),
        unused=list(report.unused),
        mismatched=list(report.mismatched),
    )
