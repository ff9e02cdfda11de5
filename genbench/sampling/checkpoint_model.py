"""Loading a trained cell from its checkpoint: its networks with their weights, ready for sampling in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from genbench.api.recipe import Recipe, resolve_recipe
from genbench.api.specs import (
    DatasetSpec,
    FamilySpec,
    ModelSpec,
    Setup,
)
from genbench.api.training import Family
from genbench.errors import DataError, NoDataError, SpecError, UsageError
from genbench.plugins.catalogue import SINGULAR, Catalogue, discover
from genbench.plugins.loader import Kind
from genbench.plugins.recorded_files import RECORDED_ONLY, Allowed, loadable_files
from genbench.plugins.worker_catalogue import load_catalogue
from genbench.results.schema import CellIdentity, CellResult, Choice, PlannedCell
from genbench.results.store import RunDirectory
from genbench.train.exchanges import create_family, create_loss
from genbench.train.memory_format import MEMORY_FORMATS, default_memory_format
from genbench.train.network_checks import LOSS_NETWORK, build_networks, loss_module
from genbench.train.transfer import TransferReport, load_initial


@dataclass(frozen=True)
class TrainedModel:
    """A trained model."""

    identity: CellIdentity
    model: ModelSpec
    family_spec: FamilySpec
    family: Family  # using the loaded weights
    networks: dict[str, nn.Module]
    memory_format: torch.memory_format
    device: torch.device
    recipe: Recipe  # of its training
    classes: int  # of a conditional model; 0: not conditional
    class_names: tuple[str, ...]
    points: bool  # its images are 2-D points
    notes: tuple[str, ...]  # information about these weights for the user

    @property
    def sampled_networks(self) -> dict[str, nn.Module]:
        """The networks: the checkpoint holds the weights that are sampled."""
        return self.networks

    def family_for_sampling(self) -> Family:
        """Return the family."""
        return self.family


def load_trained(
    run: RunDirectory, planned: PlannedCell, device: torch.device, best: bool = False, allowed: Allowed = RECORDED_ONLY
) -> TrainedModel:
    """Rebuild a cell's networks and load the weights that its run saved.

    Plugins that the cell needs are imported into this process; `allowed` says which plugin files
    may be loaded. `best` selects the weights of the best evaluation. Raises `NoDataError` where there are no such
    weights, `UsageError` where no best ones were saved, and `SpecError` where the weights do not fit the networks.
    """
    identity = planned.identity
    require_weights(run, planned, run.read_cells([planned.id]).results.get(planned.id), best)
    needed = _needed(identity)
    known = load_catalogue([])  # the built-in plugins; others are discovered only where they are needed
    if any(
        choice.name not in known.entries(kind) for kind, choice in (*needed.items(), ("datasets", identity.dataset))
    ):
        known = discover(loadable_files(run.record, allowed))
    found = {kind: known.require(kind, choice.name).plugin for kind, choice in needed.items()}
    others = {plugin.target: plugin for plugin in found.values() if plugin.origin != "builtin"}
    catalogue = load_catalogue([dataclasses.asdict(plugin) for plugin in others.values()])
    dataset = known.datasets.get(identity.dataset.name)
    return load_from_checkpoint(run, planned, device, catalogue, dataset.spec if dataset else None, best)


def load_from_checkpoint(
    run: RunDirectory,
    planned: PlannedCell,
    device: torch.device,
    catalogue: Catalogue,
    dataset: DatasetSpec | None,
    best: bool = False,
    train_size: int = 0,
) -> TrainedModel:
    """Rebuild a cell's networks with a catalogue of this process, and load the weights that its run saved.

    Raises the errors of `load_trained`.
    """
    identity, path = planned.identity, run.best_path(planned.id) if best else run.checkpoint_path(planned.id)
    result = run.read_cells([planned.id]).results.get(planned.id)
    require_weights(run, planned, result, best)
    notes = [
        f"the {SINGULAR[kind]} '{choice.name}' was trained with {choice.origin.distribution} {choice.origin.version}; "
        f"the installed version is {version}"
        for kind, choice in _needed(identity).items()
        if (version := catalogue.require(kind, choice.name).plugin.version) != choice.origin.version
    ]
    if result is not None and result.status != "ok":
        notes.append(f"this cell has status '{result.status}'{': ' if result.reason else ''}{result.reason}")

    model: ModelSpec = catalogue.require("models", identity.model.name).spec
    family_spec: FamilySpec = catalogue.require("families", identity.family.name).spec
    classes = _classes(result, dataset)
    if model.conditional and not classes:
        raise DataError(
            f"The result of {planned.id} does not state the number of classes, which '{model.name}' needs.",
            "Train it again with this version of genbench.",
            code="GB605",
        )
    recipe = resolve_recipe(identity.recipe, owner=model.name)  # a run of an older version lacks the newer fields
    networks, loss = _networks(identity, model, family_spec, catalogue, classes)
    _require_complete(load_initial(networks, path), networks, family_spec, planned.id)
    trained = result.engine.memory_format if result is not None and result.engine is not None else None
    memory_format = MEMORY_FORMATS[trained.used] if trained is not None else default_memory_format(networks)
    for network in networks.values():
        network.to(device=device, memory_format=memory_format).eval()  # type: ignore[call-overload]
    setup = Setup(
        networks=networks,
        loss=loss,
        model=model,
        latent_dim=identity.latent_dim,
        num_classes=classes,
        recipe=recipe.settings,
        device=device,
        train_size=train_size,
        image_shape=identity.image_shape,
    )
    return TrainedModel(
        identity=identity,
        model=model,
        family_spec=family_spec,
        family=create_family(family_spec, setup),
        networks=networks,
        memory_format=memory_format,
        device=device,
        recipe=recipe,
        classes=classes if model.conditional else 0,
        class_names=tuple(result.class_names) if result is not None and model.conditional else (),
        points=dataset is not None and dataset.points,
        notes=tuple(notes),
    )


def require_weights(run: RunDirectory, planned: PlannedCell, result: CellResult | None, best: bool = False) -> None:
    """Raise `NoDataError` where a cell has no weights, and `UsageError` where it has no best ones."""
    if not (run.best_path(planned.id) if best else run.checkpoint_path(planned.id)).is_file():
        raise _no_weights(planned, result, best)


def _needed(identity: CellIdentity) -> dict[Kind, Choice]:
    return {"families": identity.family, "models": identity.model, "losses": identity.loss}


def _networks(
    identity: CellIdentity, model: ModelSpec, family: FamilySpec, catalogue: Catalogue, classes: int
) -> tuple[dict[str, nn.Module], Any]:
    """Return the networks as built for training, including the parameters of the loss, and the loss."""
    networks = build_networks(identity, model, family, classes)
    spec = catalogue.require("losses", identity.loss.name).spec
    loss = create_loss(spec, identity.loss.options)
    module = loss_module(loss)
    if module is not None:
        networks[LOSS_NETWORK] = module
    return networks, loss


def _classes(result: CellResult | None, dataset: DatasetSpec | None) -> int:
    declared = dataset.classes if dataset is not None else None
    return (result.classes if result is not None else 0) or declared or 0


def _require_complete(report: TransferReport, networks: Mapping[str, nn.Module], family: FamilySpec, cell: str) -> None:
    """Refuse weights that leave a network partly at its initial values; one that generates no images may be absent."""
    if report.mismatched:
        raise _other_networks(cell, report.mismatched)
    absent = {name for name in networks if not any(taken.startswith(f"{name}.") for taken in report.taken)}
    needed: Sequence[str] = family.averaged or family.networks or tuple(networks)
    missing = [name for name in report.missing if name.partition(".")[0] not in absent - set(needed)]
    if missing:
        raise _other_networks(cell, [f"{name} is not in the file" for name in missing])


def _other_networks(cell: str, faults: Sequence[str]) -> SpecError:
    more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
    return SpecError(
        f"The weights of {cell} do not fit its networks as built now: {'; '.join(faults[:3])}{more}.",
        "Install the version of the plugin or of genbench that trained them, or train again.",
        code="GB605",
    )


def _no_weights(planned: PlannedCell, result: CellResult | None, best: bool) -> NoDataError | UsageError:
    if result is None:
        return NoDataError(
            f"{planned.id} has no result yet.", "Run it first, with `genbench run --resume RUN`.", code="GB605"
        )
    if best and result.best is None:
        return UsageError(
            f"{planned.id} has no best weights.",
            "Train with --best-metric, or drop --best to use the last weights.",
            code="GB605",
        )
    why = f": its status is '{result.status}'" if result.status != "ok" else ""
    return NoDataError(
        f"{planned.id} has no weights{why}.",
        "Check whether its file in checkpoints/ was deleted, or train it again.",
        code="GB605",
    )
