"""Building the networks of a model, and checking that networks and phases are as the plugin declares."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from genbench.api.specs import (
    FamilySpec,
    ModelSpec,
    resolve,
)
from genbench.api.training import Family, Likelihood, Phase
from genbench.data.loading import LoadedData
from genbench.errors import SpecError
from genbench.measure.user_frame import error_location
from genbench.results.schema import CellIdentity
from genbench.seeds import seeded_generator

RANGE_SLACK = {"fp32": 1e-3, "tf32": 2e-3, "bf16": 2**-7}  # of the value range, by which images may lie outside
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
        raise SpecError(f"`likelihood` of {where}{error_location(error)}: {error.cause}", error.cure) from error
    if found is not None and not isinstance(found, Likelihood):
        raise SpecError(f"`likelihood` of {where} is {found!r}, not a genbench.Likelihood or None.")
    if found is not None and spec.exact and found.kind == "cross-entropy":
        raise SpecError(
            f"`likelihood` of {where} is a cross-entropy, which is not a likelihood and never exact.",
            "Declare the kind 'discrete', 'dequantised' or 'density', or return None.",
        )


def check_samplers(family: Family, spec: FamilySpec) -> None:
    """Raise `SpecError` if a family declares samplers and has no method that draws with them."""
    if spec.samplers and not callable(getattr(family, "sample_with", None)):
        raise SpecError(
            f"The family '{spec.name}' declares the sampler '{spec.samplers[0].name}', but {type(family).__name__} has "
            "no method `sample_with`.",
            "See `SamplerFamily` in docs/reference.md.",
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
            f"Model '{model.name}' generates images of shape {shape} instead of {expected}.",
            "Fix the networks, or image_shapes of the spec.",
        )
    require_range(model, float(images.min()), float(images.max()))


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
            f"to {greatest:.3g}.",
            "End the network with an activation of that range, or declare its actual range.",
        )
