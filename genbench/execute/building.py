"""From a planned cell to networks, family and engine, with every promise of the plugin checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from genbench.errors import SpecError, UsageError
from genbench.exchange import Family, Phase, Setup
from genbench.execute.loading import LoadedData
from genbench.options import OptionValue
from genbench.plan.catalogue import Catalogue
from genbench.results.schema import CellIdentity
from genbench.specs import FamilySpec, LossSpec, ModelSpec, resolve
from genbench.train.data import ResidentImages
from genbench.train.ema import AveragedWeights
from genbench.train.engine import EagerEngine
from genbench.train.optimizers import make_optimizers
from genbench.train.seeds import seed_globals, seeded_generator


@dataclass(frozen=True)
class Built:
    """A cell that is ready to train."""

    model: ModelSpec
    family_spec: FamilySpec
    setup: Setup
    engine: EagerEngine
    memory_format: torch.memory_format

    def family_for_sampling(self) -> Family:
        """Return the family on the weights that are sampled: the averaged ones where there are any."""
        average = self.engine.average
        networks: Mapping[str, nn.Module] = average.networks if average else self.setup.networks
        family: Family = resolve(self.family_spec.create)(replace(self.setup, networks=networks))
        return family


def build_cell(identity: CellIdentity, catalogue: Catalogue, data: LoadedData, device: torch.device) -> Built:
    """Seed, build the networks, and put them together with data and optimisers on the device."""
    model: ModelSpec = catalogue.require("models", identity.model.name).spec
    family_spec: FamilySpec = catalogue.require("families", identity.family.name).spec
    loss_spec: LossSpec = catalogue.require("losses", identity.loss.name).spec
    recipe = identity.recipe
    batch_size = _whole(recipe, "batch_size")
    if batch_size > len(data.train_pixels):
        raise UsageError(
            f"batch_size {batch_size} is larger than the {len(data.train_pixels)} training images of "
            f"'{identity.dataset.name}'.",
            f"Use --batch-size {len(data.train_pixels)} or less.",
        )
    if model.conditional and data.train_labels is None:
        raise UsageError(f"Model '{model.name}' needs labels, dataset '{identity.dataset.name}' has none.")

    seed_globals(identity.seed)
    networks = _networks(identity, model, family_spec, data.num_classes)
    memory_format = _memory_format(networks)
    for network in networks.values():
        network.to(device=device, memory_format=memory_format)  # type: ignore[call-overload]
        network.train()
    setup = Setup(
        networks=networks,
        loss=resolve(loss_spec.create)(loss_spec.make_options(identity.loss.options)),
        model=model,
        latent_dim=identity.latent_dim,
        num_classes=data.num_classes,
        recipe=recipe,
        device=device,
    )
    family: Family = resolve(family_spec.create)(setup)
    _check_output(family, model, identity, data, device, networks)
    phases = list(family.phases())
    _check_phases(phases, networks, family_spec)
    half_life, ramp = float(recipe["ema_half_life"] or 0), float(recipe["ema_ramp"] or 0)  # type: ignore[arg-type]
    engine = EagerEngine(
        networks=networks,
        phases=phases,
        data=ResidentImages(
            pixels=data.train_pixels,
            labels=data.train_labels if model.conditional else None,
            batch_size=batch_size,
            value_range=model.value_range,
            device=device,
            rng=seeded_generator(identity.seed, "data order", device),
            memory_format=memory_format,
        ),
        rng=seeded_generator(identity.seed, "training noise", device),
        optimizers=make_optimizers(networks, phases, recipe),
        precision=str(recipe["precision"]),
        average=AveragedWeights(networks, half_life, ramp) if half_life > 0 else None,
    )
    return Built(model, family_spec, setup, engine, memory_format)


def count_parameters(networks: Mapping[str, nn.Module]) -> dict[str, int]:
    """Return the number of trainable parameters of each network."""
    return {name: sum(p.numel() for p in net.parameters() if p.requires_grad) for name, net in networks.items()}


def _networks(identity: CellIdentity, model: ModelSpec, family: FamilySpec, num_classes: int) -> dict[str, nn.Module]:
    built: Any = resolve(model.build)(
        image_shape=tuple(identity.image_shape),
        latent_dim=identity.latent_dim,
        num_classes=num_classes,
        options=model.make_options(identity.model.options),
    )
    where = f"build of model '{model.name}'"
    if not isinstance(built, Mapping):
        raise SpecError(f"{where} returned {type(built).__name__}, not a dict of networks.")
    missing = set(family.networks) - set(built)
    if missing:
        raise SpecError(
            f"{where} returned the networks {', '.join(map(str, built)) or 'none'}; "
            f"the family '{family.name}' needs {', '.join(family.networks)}."
        )
    for name, network in built.items():
        if not isinstance(network, nn.Module):
            raise SpecError(f"{where}: '{name}' is {type(network).__name__}, not a torch.nn.Module.")
    return dict(built)


def _memory_format(networks: Mapping[str, nn.Module]) -> torch.memory_format:
    """Return channels_last where there are convolutions: the layout that their fast kernels want."""
    convolutions = (nn.Conv2d, nn.ConvTranspose2d)
    found = any(isinstance(module, convolutions) for network in networks.values() for module in network.modules())
    return torch.channels_last if found else torch.contiguous_format


def _check_phases(phases: list[Phase], networks: Mapping[str, nn.Module], family: FamilySpec) -> None:
    names = [phase.name for phase in phases]
    if len(set(names)) < len(names):
        raise SpecError(f"The family '{family.name}' has two phases of the same name: {', '.join(names)}.")
    for phase in phases:
        unknown = {*phase.networks, *phase.frozen} - set(networks)
        if unknown:
            raise SpecError(f"Phase '{phase.name}' of the family '{family.name}' names no network: {min(unknown)}.")
        if phase.every < 1 or phase.repeats < 1:
            raise SpecError(f"Phase '{phase.name}' of the family '{family.name}': every and repeats are at least 1.")


def _check_output(
    family: Family,
    model: ModelSpec,
    identity: CellIdentity,
    data: LoadedData,
    device: torch.device,
    networks: Mapping[str, nn.Module],
) -> None:
    """Hold the model to its declared image shape and value range, before any time is spent on training."""
    labels = data.train_labels[:2].to(device) if model.conditional and data.train_labels is not None else None
    for network in networks.values():
        network.eval()
    with torch.inference_mode():
        images = family.sample(2, seeded_generator(0, "output check", device), labels)
    for network in networks.values():
        network.train()
    expected = (2, *identity.image_shape)
    if not isinstance(images, Tensor) or tuple(images.shape) != expected:
        shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise SpecError(
            f"Model '{model.name}' generates {shape} where {expected} was asked for.",
            "Mend the networks, or image_shapes of the spec.",
        )
    low, high = model.value_range
    least, greatest = float(images.min()), float(images.max())
    slack = 1e-3 * (high - low)
    if least < low - slack or greatest > high + slack:
        raise SpecError(
            f"Model '{model.name}' declares value_range ({low:g}, {high:g}) but generates values from {least:.3g} "
            f"to {greatest:.3g}.",
            "End the network in an activation of that range, or declare the range that it has.",
        )


def _whole(recipe: Mapping[str, OptionValue], name: str) -> int:
    value = recipe[name]
    assert isinstance(value, int)
    return value
