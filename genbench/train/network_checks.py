"""Building the networks of a model, and checking that networks and phases are as the plugin declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from genbench.api.specs import (
    FamilySpec,
    ModelSpec,
    resolve,
)
from genbench.api.training import AdversarialLoss, CheckedFamily, Family, Phase, VariationalLoss
from genbench.data.loading import LoadedData
from genbench.errors import SpecError
from genbench.results.schema import CellIdentity
from genbench.seeds import seeded_generator
from genbench.train.player import check_joint_phases

LOSS_NETWORK = "loss"  # the module of a loss that has one


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


def loss_module(loss: Any, name: str) -> nn.Module | None:
    """Return the module with the parameters and the state of a loss: its `module`, or the loss itself if it is one.

    Raises `SpecError` if `module` of a loss of the built-in kinds is something else; `name` is that of the loss.
    """
    if isinstance(loss, nn.Module):
        return loss if loss.state_dict() else None
    module = getattr(loss, "module", None)
    if isinstance(module, nn.Module):
        return module
    if module is not None and isinstance(loss, AdversarialLoss | VariationalLoss):
        raise SpecError(
            f"`module` of the loss '{name}' is {type(module).__name__}, not a torch.nn.Module.",
            "Hold its parameters and buffers in one nn.Module.",
        )
    return None


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
    check_joint_phases(phases, networks, family.name)


def check_output(
    family: Family,
    model: ModelSpec,
    identity: CellIdentity,
    data: LoadedData,
    device: torch.device,
    networks: Mapping[str, nn.Module],
) -> None:
    """Raise `SpecError` if the generated images do not have the declared shape and value range.

    A `CheckedFamily` then checks its networks on them.
    """
    labels = data.train_labels[:2].to(device) if model.conditional and data.train_labels is not None else None
    with evaluating(networks), torch.inference_mode():
        images = family.sample(2, seeded_generator(0, "output check", device), labels)
    expected = (2, *identity.image_shape)
    if not isinstance(images, Tensor) or tuple(images.shape) != expected:
        shape = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise SpecError(
            f"Model '{model.name}' generates images of shape {shape} instead of {expected}.",
            "Fix the networks, or image_shapes of the spec.",
        )
    low, high = model.value_range
    least, greatest = float(images.min()), float(images.max())
    slack = 1e-3 * (high - low)
    if least < low - slack or greatest > high + slack:
        raise SpecError(
            f"Model '{model.name}' declares value_range ({low:g}, {high:g}) but generates values from {least:.3g} "
            f"to {greatest:.3g}.",
            "End the network with an activation of that range, or declare its actual range.",
        )
    if isinstance(family, CheckedFamily):
        with evaluating(networks), torch.inference_mode():
            family.check_networks(images, labels)


@contextmanager
def evaluating(networks: Mapping[str, nn.Module]) -> Iterator[None]:
    """Put networks that train into evaluation mode inside."""
    for network in networks.values():
        network.eval()
    try:
        yield
    finally:
        for network in networks.values():
            network.train()
