"""Building the networks of a model, and checking that networks and phases are as the plugin declares."""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from genbench.api.specs import (
    FamilySpec,
    ModelSpec,
    resolve,
)
from genbench.api.training import CheckedFamily, Family, Likelihood, Phase
from genbench.data.loading import LoadedData
from genbench.errors import NetworkError, SpecError
from genbench.measure.user_frame import error_location
from genbench.plugins.calls import PluginFunction, add_origin, defined_at, describe, module_not_entered, modules_in
from genbench.results.schema import CellIdentity
from genbench.seeds import seeded_generator
from genbench.train.player import check_joint_phases

RANGE_SLACK = {"fp32": 1e-3, "tf32": 2e-3, "bf16": 2**-7}  # of the value range, by which images may lie outside
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


def loss_module(loss: Any) -> nn.Module | None:
    """Return the module with the parameters and the state of a loss: its `module`, or the loss itself if it is one."""
    if isinstance(loss, nn.Module):
        return loss if loss.state_dict() else None
    module = getattr(loss, "module", None)
    return module if isinstance(module, nn.Module) else None


def network_fault(model: ModelSpec, networks: Mapping[str, nn.Module], error: Exception) -> SpecError | None:
    """Return the error for a network that its family cannot call, or whose output it cannot use, else None.

    Another exception that was raised inside a network gets a note that names it.
    """
    if isinstance(error, NetworkError) and error.network in networks:
        return _network_error(model, error.network, networks[error.network], error.cause, error.cure)
    inside = modules_in(error)
    names = [name for name, network in networks.items() if any(network is module for module in inside)]
    if not names:
        return None
    module = module_not_entered(error)
    if module is None:
        add_origin(error, f"the network '{names[0]}' of model '{model.name}'{defined_at(resolve(model.build))}")
        return None
    what = "receive labels as the last argument" if model.conditional else "receive no labels"
    cure = f"The model declares conditional={model.conditional}: its networks {what}."
    return _network_error(model, names[0], module, f"cannot be called: {error}", cure)


def _network_error(model: ModelSpec, name: str, module: nn.Module, fault: str, cure: str) -> SpecError:
    """Return the error, located where the module's class is defined, or `build` if torch defines it."""
    network = PluginFunction(f"model '{model.name}'", f"the network '{name}'", type(module), resolve(model.build))
    return network.error(fault, cure)


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


def sample_function(family: Family, model: ModelSpec, networks: Mapping[str, nn.Module]) -> PluginFunction:
    """Return the family's `sample`, to be called; its errors name the network of the model that causes them."""
    explain = functools.partial(network_fault, model, networks)
    return PluginFunction(f"family '{model.family}'", "sample(count, rng, labels)", family.sample, explain=explain)


def missing_methods(family: Family, spec: FamilySpec) -> list[str]:
    """Return what a family with a likelihood lacks, without evaluating its properties."""
    needed = ["likelihood", "log_likelihood"] if spec.exact else ["likelihood", "bound"] if spec.bounds else []
    return [name for name in needed if inspect.getattr_static(family, name, None) is None]


def check_likelihood(family: Family, spec: FamilySpec) -> None:
    """Raise `SpecError` if a family's `likelihood` is not what its spec declares."""
    where, missing = f"the family '{spec.name}'", missing_methods(family, spec)
    if spec.exact and missing:
        raise SpecError(
            f"The spec of {where} says exact=True, but {type(family).__name__} has no `{missing[0]}`.",
            "See `ExactLikelihoodFamily` in docs/reference.md.",
        )
    try:
        found: object = getattr(family, "likelihood", None) if spec.bounds or spec.exact else None
    except SpecError as error:
        raise SpecError(
            f"`likelihood` of {where}{error_location(error)}: {error.cause}", error.cure, code=error.code
        ) from error
    if found is not None and not isinstance(found, Likelihood):
        raise SpecError(f"`likelihood` of {where} is {found!r}, not a genbench.Likelihood or None.")
    if found is not None and spec.exact and found.kind == "cross-entropy":
        raise SpecError(
            f"`likelihood` of {where} is a cross-entropy, which is not a likelihood and never exact.",
            "Declare the kind 'discrete', 'dequantised' or 'density', or return None.",
        )


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
    sample = sample_function(family, model, networks)
    with evaluating(networks), torch.inference_mode():
        images = sample(2, seeded_generator(0, "output check", device), labels)
    expected = (2, *identity.image_shape)
    place = defined_at(resolve(model.build))
    if not isinstance(images, Tensor) or not images.is_floating_point():
        networks_of = f"the networks that build of model '{model.name}' returns{place}"
        raise sample.returned(images, f"floating-point images of shape {expected}", f"Check it, or {networks_of}.")
    if tuple(images.shape) != expected:
        raise SpecError(
            f"Model '{model.name}' generates images of shape {tuple(images.shape)} instead of {expected}{place}.",
            "Fix the networks, or image_shapes of the spec.",
        )
    if images.device.type != device.type:
        raise sample.error(f"returned images on {images.device}", f"Generate them on {device}: use setup.device.")
    require_range(model, float(images.min()), float(images.max()))
    if isinstance(family, CheckedFamily):
        check = replace(sample, title="check_networks(images, labels)", function=family.check_networks)
        with evaluating(networks), torch.inference_mode():
            check(images, labels)


def require_range(
    model: ModelSpec, least: float, greatest: float, what: str = "generates", precision: str = "fp32"
) -> None:
    """Raise `SpecError` if values of images lie outside of the declared range by more than rounding; NaN passes.

    Args:
        model: whose range is declared.
        least: of the values.
        greatest: of the values.
        what: what the model does, in the third person.
        precision: in which the images were computed; a bfloat16 has 8 significant bits.
    """
    low, high = model.value_range
    slack = RANGE_SLACK[precision] * (high - low)
    if least < low - slack or greatest > high + slack:
        raise SpecError(
            f"Model '{model.name}' declares value_range ({low:g}, {high:g}) but {what} values from {least:.3g} "
            f"to {greatest:.3g}{defined_at(resolve(model.build))}.",
            "End the network with an activation of that range, or declare its actual range.",
        )


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
