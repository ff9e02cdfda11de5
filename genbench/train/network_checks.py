"""Building the networks of a model, and checking that networks and phases are as the plugin declares."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from genbench.api.specs import (
    FamilySpec,
    ModelSpec,
    resolve,
)
from genbench.api.training import Family, Phase
from genbench.data.loading import LoadedData
from genbench.errors import SpecError
from genbench.plugins.calls import PluginFunction, defined_at, describe, module_not_entered
from genbench.results.schema import CellIdentity
from genbench.seeds import seeded_generator

LOSS_NETWORK = "loss"  # the parameters of a loss that has its own


def count_parameters(networks: Mapping[str, nn.Module], frozen: bool = False) -> dict[str, int]:
    """Return the number of trainable parameters of each network, or with `frozen` of all its parameters."""
    return {
        name: sum(p.numel() for p in network.parameters() if frozen or p.requires_grad)
        for name, network in networks.items()
    }


def build_networks(
    identity: CellIdentity, model: ModelSpec, family: FamilySpec, num_classes: int
) -> dict[str, nn.Module]:
    """Call the model's `build` and check that it returned the networks that the family needs; raise `SpecError`."""
    title = "build(image_shape, latent_dim, num_classes, options)"
    build = PluginFunction(f"model '{model.name}'", title, resolve(model.build))
    built: Any = build(
        image_shape=tuple(identity.image_shape),
        latent_dim=identity.latent_dim,
        num_classes=num_classes,
        options=model.make_options(identity.model.options),
    )
    needed = ", ".join(family.networks)
    expected = f"a dict of the networks {needed}" if needed else "a dict of networks"
    if not isinstance(built, Mapping):
        entries = ", ".join(f'"{name}": …' for name in family.networks or ("generator",))
        raise build.returned(built, expected, f"Return {{{entries}}}.")
    missing = [name for name in family.networks if name not in built]
    if missing:
        raise build.error(
            f"returned the networks {', '.join(map(str, built)) or 'none'}; the family '{family.name}' needs {needed}",
            f"Add '{missing[0]}', or name the family that the model belongs to.",
        )
    for name, network in built.items():
        if not isinstance(network, nn.Module):
            raise build.error(f"returned '{name}' that is {describe(network)}, not a torch.nn.Module")
        if not isinstance(name, str) or name == LOSS_NETWORK:
            raise build.error(f"returned a network named {name!r}", f"Use a text other than '{LOSS_NETWORK}'.")
    for name, other in itertools.combinations(built, 2):
        if built[name] is built[other]:
            raise build.error(
                f"returned the same network as '{name}' and as '{other}'",
                "Create a module for each: phases train networks, and a shared one would be trained by both.",
            )
    return dict(built)


def network_not_called(model: ModelSpec, networks: Mapping[str, nn.Module], error: Exception) -> SpecError | None:
    """Return the error for a network that does not accept what its family calls it with, else None."""
    module = module_not_entered(error)
    names = [name for name, network in networks.items() if any(module is part for part in network.modules())]
    if module is None or not names:
        return None
    called = PluginFunction(f"model '{model.name}'", f"the network '{names[0]}'", type(module))
    labels = (
        "its networks receive labels as the last argument" if model.conditional else "its networks receive no labels"
    )
    return called.error(f"cannot be called: {error}", f"The model declares conditional={model.conditional}: {labels}.")


def check_phases(phases: list[Phase], networks: Mapping[str, nn.Module], family: FamilySpec) -> None:
    """Raise `SpecError` for phases with the same name, or that name a network which the model does not have."""
    names = [phase.name for phase in phases]
    if len(set(names)) < len(names):
        raise SpecError(f"The family '{family.name}' has two phases with the same name: {', '.join(names)}.")
    for phase in phases:
        unknown = {*phase.networks, *phase.frozen} - set(networks)
        if unknown:
            raise SpecError(
                f"Phase '{phase.name}' of the family '{family.name}' names the unknown network '{min(unknown)}'."
            )
        if phase.every < 1 or phase.repeats < 1:
            raise SpecError(
                f"Phase '{phase.name}' of the family '{family.name}': every and repeats must be at least 1."
            )


def check_output(
    family: Family,
    model: ModelSpec,
    identity: CellIdentity,
    data: LoadedData,
    device: torch.device,
    networks: Mapping[str, nn.Module],
) -> None:
    """Raise `SpecError` if the generated images do not have the declared shape and value range."""
    labels = data.train_labels[:2].to(device) if model.conditional and data.train_labels is not None else None
    sample = PluginFunction(
        f"family '{model.family}'",
        "sample(count, rng, labels)",
        family.sample,
        explain=lambda error: network_not_called(model, networks, error),
    )
    for network in networks.values():
        network.eval()
    with torch.inference_mode():
        images = sample(2, seeded_generator(0, "output check", device), labels)
    for network in networks.values():
        network.train()
    expected = (2, *identity.image_shape)
    if not isinstance(images, Tensor):
        raise sample.returned(images, f"a tensor of shape {expected}")
    if tuple(images.shape) != expected:
        raise SpecError(
            f"Model '{model.name}' generates images of shape {tuple(images.shape)} instead of {expected}"
            f"{defined_at(resolve(model.build))}.",
            "Fix the networks, or image_shapes of the spec.",
        )
    if not images.is_floating_point():
        raise sample.returned(images, "floating-point images in the model's value range")
    if images.device.type != device.type:
        raise sample.error(f"returned images on {images.device}", f"Generate them on {device}: use setup.device.")
    low, high = model.value_range
    least, greatest = float(images.min()), float(images.max())
    slack = 1e-3 * (high - low)
    if least < low - slack or greatest > high + slack:
        raise SpecError(
            f"Model '{model.name}' declares value_range ({low:g}, {high:g}) but generates values from {least:.3g} "
            f"to {greatest:.3g}{defined_at(resolve(model.build))}.",
            "End the network with an activation of that range, or declare its actual range.",
        )
