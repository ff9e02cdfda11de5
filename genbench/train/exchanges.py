"""What model, loss and family of a plugin return when a cell is built and takes its first step: checked here.

Only types, shapes, data types and devices are looked at, so nothing waits for the device, and only the first result of
each function.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from genbench.api.specs import FamilySpec, LossSpec, ModelSpec, Setup, resolve
from genbench.api.training import AdversarialLoss, Family, Objective, Phase, VariationalLoss
from genbench.errors import SpecError
from genbench.measure.user_frame import error_location
from genbench.plugins.calls import PluginFunction, describe
from genbench.train.network_checks import network_fault

# What `create` of a loss returns where genbench's own records are the contract.
_LOSS_TYPES = {"adversarial": AdversarialLoss, "variational": VariationalLoss}
_PARAMETERS = {  # of the functions in these records
    "discriminator": "real_logits, fake_logits",
    "generator": "fake_logits, real_logits",
    "penalty": "discriminator, real, fake, rng",
    "generator_penalty": "generator, points, rng",
    "objective": "posterior",
    "nll": "images, logits",
    "energy": "images, reconstructions",
    "features": "real_features, fake_features",
    "discriminator_terms": "batch",
    "generator_terms": "batch",
}
_MEAN = "Take the mean over the batch."
_Check = Callable[[PluginFunction, Any], None]  # raises `SpecError`


class CheckedFunction:
    """A plugin's function whose first result is checked."""

    def __init__(self, called: PluginFunction, check: _Check) -> None:
        self._called = called
        self._check: _Check | None = check

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Call the function; raise `SpecError` if it cannot be called, or its first result breaks the contract."""
        return self.call(self._called.function, given, named)

    def call(self, function: Any, given: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """Call a function that stands in for it, such as a compiled one, in the same way."""
        found = self._called.call(function, given, named)
        if self._check is not None:
            self._check(self._called, found)
            self._check = None
        return found


def create_loss(spec: LossSpec, options: Mapping[str, Any]) -> Any:
    """Create a loss; raise `SpecError` if it is not what its family needs, or a function of it is none."""
    create = PluginFunction(f"loss '{spec.name}'", "create(options)", resolve(spec.create))
    create = replace(create, explain=functools.partial(_located, create))
    loss = create(spec.make_options(options))
    expected = _LOSS_TYPES.get(spec.family)
    if expected is not None and not isinstance(loss, expected):
        article = "an" if expected is AdversarialLoss else "a"
        raise create.returned(loss, f"{article} {expected.__name__}, because its family is '{spec.family}'")
    if isinstance(loss, AdversarialLoss | VariationalLoss):
        _require_functions(loss, create)
    module = getattr(loss, "module", None)
    if dataclasses.is_dataclass(loss) and module is not None and not isinstance(module, nn.Module):
        raise create.error(f"set module to {describe(module)}", "It must be a torch.nn.Module, or None.")
    return loss


def _located(create: PluginFunction, error: Exception) -> SpecError | None:
    """Return an error of one of genbench's own records with the loss, and the line where the author makes it."""
    if not isinstance(error, SpecError):
        return None
    return SpecError(
        f"{create.owner[:1].upper()}{create.owner[1:]}: {create.title}{error_location(error)}: {error.cause}",
        error.cure,
        code=error.code,
    )


def _require_functions(loss: AdversarialLoss | VariationalLoss, create: PluginFunction) -> None:
    for field in dataclasses.fields(loss):
        value = getattr(loss, field.name)
        required = field.default is dataclasses.MISSING
        if field.name in _PARAMETERS and not callable(value) and (required or value is not None):
            raise create.error(
                f"set {field.name} to {describe(value)}", f"It must be a function ({_PARAMETERS[field.name]})."
            )


def loss_function(spec: LossSpec, name: str, function: Callable[..., Any]) -> CheckedFunction:
    """Return a function of the loss, whose first result is checked."""
    called = PluginFunction(f"loss '{spec.name}'", f"{name}({_PARAMETERS.get(name, '…')})", function)
    checks: dict[str, _Check] = {"objective": _check_objective, "penalty": _check_scalar}
    return CheckedFunction(called, checks.get(name, _check_scalar_or_objective))


def create_family(spec: FamilySpec, setup: Setup) -> Family:
    """Create a family; raise `SpecError` if it lacks one of the methods that its spec promises."""
    create = PluginFunction(f"family '{spec.name}'", "create(setup)", resolve(spec.create))
    family = create(setup)
    needed = [
        "phases",
        "sample",
        *(["reconstruct"] if spec.reconstructs else []),
        *(["bound"] if spec.bounds else []),
        *(["sample_with"] if spec.samplers else []),
    ]
    for name in needed:
        method = getattr(family, name, None)
        if not callable(method):
            state = f"whose {name} is {describe(method)}" if hasattr(family, name) else f"without a method {name}"
            fault = f"returned {describe(family)} {state}"
            raise replace(create, fallback=family).error(fault, f"Define the method {name}: see genbench.Family.")
    found: Family = family
    return found


def family_method(spec: FamilySpec, family: Family, title: str) -> PluginFunction:
    """Return a method of the family, to be called, by its title, such as 'phases()'."""
    return PluginFunction(f"family '{spec.name}'", title, getattr(family, title.partition("(")[0], None), family)


def require_reconstructions(spec: FamilySpec, family: Family, images: Tensor, labels: Tensor | None) -> Tensor:
    """Return the family's reconstructions of these images; raise `SpecError` unless there is one for each."""
    reconstruct = family_method(spec, family, "reconstruct(images, labels)")
    found = reconstruct(images, labels)
    if not isinstance(found, Tensor) or found.shape != images.shape or not found.is_floating_point():
        raise reconstruct.returned(found, f"floating-point images of the shape of those given, {tuple(images.shape)}")
    return found


def family_phases(family: Family, spec: FamilySpec) -> list[Phase]:
    """Return the phases of a step; raise `SpecError` if they are not a sequence of well-formed phases."""
    method = family_method(spec, family, "phases()")
    found = method()
    expected = "a sequence of genbench.Phase"
    if isinstance(found, Phase):
        raise method.returned(found, expected, "Put the phase into a list: return [phase].")
    if not isinstance(found, Iterable) or isinstance(found, str | Mapping):
        raise method.returned(found, expected)
    phases = list(found)
    if not phases:
        raise method.returned(found, f"{expected}, and at least one")
    for phase in phases:
        if not isinstance(phase, Phase):
            raise method.error(
                f"must return {expected}; among them is {describe(phase)}", "Wrap it: genbench.Phase(…)."
            )
        _check_fields(phase, method)
    return phases


def _check_fields(phase: Phase, method: PluginFunction) -> None:
    def fault(name: str, expected: str, cure: str = "") -> SpecError:
        came = describe(getattr(phase, name))
        return method.error(f"returned the phase {phase.name!r} whose {name} must be {expected}, and is {came}", cure)

    if not isinstance(phase.name, str) or not phase.name:
        raise fault("name", "a text")
    for field in ("networks", "frozen"):
        names = getattr(phase, field)
        if isinstance(names, str) or not _are_names(names):
            only = f"({names!r},)" if isinstance(names, str) else '("generator",)'
            raise fault(field, "a tuple of names of networks", f"Write {field}={only}.".replace("'", '"'))
    if not callable(phase.objective):
        raise fault("objective", "a function of a batch", "Name the method without calling it.")
    if phase.after_update is not None and not callable(phase.after_update):
        raise fault("after_update", "a function without arguments, or None", "Name the method without calling it.")
    for field in ("every", "repeats"):
        if type(getattr(phase, field)) is not int:
            raise fault(field, "an integer")
    if not isinstance(phase.recipe, Mapping):
        raise fault("recipe", "a mapping of recipe fields")


def _are_names(names: object) -> bool:
    return isinstance(names, Sequence) and all(isinstance(name, str) for name in names)


def with_checked_objectives(
    phases: Sequence[Phase], model: ModelSpec, networks: Mapping[str, nn.Module], device: torch.device
) -> list[Phase]:
    """Return the same phases; the first result of each objective is checked."""
    owner = f"family '{model.family}'"
    explain = functools.partial(network_fault, model, networks)

    def checked(phase: Phase) -> Phase:
        called = PluginFunction(
            owner, f"objective(batch) of the phase '{phase.name}'", phase.objective, explain=explain
        )
        objective = CheckedFunction(called, _PhaseObjective(phase, networks, device))
        if phase.after_update is None:
            return replace(phase, objective=objective)
        update = PluginFunction(owner, f"after_update() of the phase '{phase.name}'", phase.after_update)
        return replace(phase, objective=objective, after_update=update)

    return [checked(phase) for phase in phases]


class _PhaseObjective:
    """Checks the objective of a phase, which must depend on the networks that it trains."""

    def __init__(self, phase: Phase, networks: Mapping[str, nn.Module], device: torch.device) -> None:
        self.phase, self.device = phase, device
        self.trains = any(p.requires_grad for name in phase.networks for p in networks[name].parameters())

    def __call__(self, called: PluginFunction, found: Any) -> None:
        _check_objective(called, found)
        total = found.total
        if total.device != self.device and total.device.type != self.device.type:
            raise called.error(f"returned a total on {total.device}", f"Compute it on {self.device}: use setup.device.")
        if self.trains and not total.requires_grad:
            trained = ", ".join(self.phase.networks)
            raise called.error(
                f"returned a total without a gradient, but the phase trains {trained}",
                "It must depend on their parameters: look for detach(), no_grad() or .item() before it.",
            )


def _check_objective(called: PluginFunction, found: Any) -> None:
    if not isinstance(found, Objective):
        cure = "Wrap them: genbench.Objective(total, terms)." if isinstance(found, tuple | Tensor) else ""
        raise called.returned(
            found, "a genbench.Objective", cure.replace("them", "it") if isinstance(found, Tensor) else cure
        )
    if not (_is_scalar(found.total) and found.total.is_floating_point()):
        raise called.error(f"returned a total that is {describe(found.total)}, not a scalar tensor", _cure(found.total))
    if not isinstance(found.terms, Mapping):
        raise called.error(f"returned terms that are {describe(found.terms)}, not a dict", "Without terms, return {}.")
    for name, term in found.terms.items():
        if not isinstance(name, str):
            raise called.error(f"returned a term named {describe(name)}", "Name the terms with texts.")
        if not _is_scalar(term):
            raise called.error(f"returned the term {name!r} that is {describe(term)}, not a scalar tensor", _cure(term))


def _check_scalar(called: PluginFunction, found: Any) -> None:
    if not (_is_scalar(found) and found.is_floating_point()):
        raise called.returned(found, "a scalar tensor", _cure(found))


def _check_scalar_or_objective(called: PluginFunction, found: Any) -> None:
    check: _Check = _check_objective if isinstance(found, Objective) else _check_scalar
    check(called, found)


def _is_scalar(value: object) -> bool:
    return isinstance(value, Tensor) and value.numel() == 1


def _cure(value: object) -> str:
    if isinstance(value, Tensor):
        return _MEAN if value.numel() != 1 else "Convert it to floating point."
    if isinstance(value, bool | int | float):
        return "Return the tensor itself, without .item() or float(): reading it on the host waits for the device."
    return "Is a `return` missing?" if value is None else ""
