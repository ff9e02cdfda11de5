"""The optimiser settings of each phase: those of the recipe, of the phase, and what wins where they differ.

From the weakest to the strongest: the recipe's defaults, the model's, the loss's; what a phase states (`Phase.recipe`);
what the user changed. The factors of a phase (`Phase.recipe_factors`) multiply the result, whoever chose it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from genbench.api.recipe import Recipe, resolve_recipe
from genbench.api.specs import LossSpec, ModelSpec
from genbench.api.training import Phase
from genbench.errors import SpecError, near_miss
from genbench.planning.remedies import DISCRIMINATOR

DISCRIMINATOR_RATE = "discriminator_learning_rate"
OWN_FIELDS = ("optimizer", "learning_rate", "beta1", "beta2", "momentum", "weight_decay")  # that a phase may override
FACTORS = ("learning_rate", "weight_decay")  # that a phase may multiply
_UNUSED = {
    "adam": ("momentum",),
    "adamw": ("momentum",),
    "rmsprop": ("beta1", "beta2"),
    "sgd": ("beta1", "beta2"),
}


def changed_settings(recipe: Recipe, model: ModelSpec, loss: LossSpec) -> frozenset[str]:
    """Return the optimiser settings that the user changed from the defaults of this model and this loss."""
    default = resolve_recipe(model.recipe, loss.recipe, owner=model.name)
    names = (*OWN_FIELDS, DISCRIMINATOR_RATE)
    return frozenset(name for name in names if getattr(recipe, name) != getattr(default, name))


def phase_recipe(phase: Phase, recipe: Recipe, changed: Collection[str] = ()) -> Recipe:
    """Return the recipe of the phase's optimiser.

    Args:
        phase: has an optimiser of its own.
        recipe: of the cell.
        changed: the settings that the user changed, which the phase does not override.

    Raises `SpecError` if the phase states or multiplies something that it cannot.
    """
    _require_known(phase)
    own = _without_changed(phase, changed)
    if phase.name == DISCRIMINATOR and recipe.discriminator_learning_rate is not None:
        recipe = replace(recipe, learning_rate=recipe.discriminator_learning_rate)
    found = resolve_recipe(recipe.settings, own, owner=f"phase {phase.name}")
    scaled: dict[str, Any] = {name: getattr(found, name) * factor for name, factor in phase.recipe_factors.items()}
    return replace(found, **scaled)


def phase_notes(phases: Sequence[Phase], recipe: Recipe, changed: Collection[str]) -> list[str]:
    """Return notes on phases with other settings than the recipe's, and on changed settings that do not reach one."""
    notes = []
    for phase in phases:
        if phase.optimizer:
            continue
        used = phase_recipe(phase, recipe, changed)
        differing = [
            f"{name} {_text(getattr(used, name))}{_reason(phase, name)}"
            for name in OWN_FIELDS
            if (name in phase.recipe or name in phase.recipe_factors) and getattr(used, name) != getattr(recipe, name)
        ]
        if differing:
            notes.append(f"phase '{phase.name}' uses its own {', '.join(differing)}")
        replaced = [name for name in phase.recipe if name not in _without_changed(phase, changed)]
        notes += [
            f"phase '{phase.name}' uses {name} {_text(getattr(used, name))}, as set, instead of its own "
            f"{_text(phase.recipe[name])}"
            for name in replaced
        ]
        if used.optimizer != recipe.optimizer:
            where = f"phase '{phase.name}', which uses {used.optimizer}"
            notes += [
                f"{name} = {_text(getattr(recipe, name))} does not reach {where}"
                for name in _UNUSED[used.optimizer]
                if name in changed
            ]
    return notes


def _without_changed(phase: Phase, changed: Collection[str]) -> dict[str, Any]:
    """Return what the phase states, without what the user changed."""
    rate = phase.name == DISCRIMINATOR and DISCRIMINATOR_RATE in changed
    return {
        name: value
        for name, value in phase.recipe.items()
        if name not in changed and not (rate and name == "learning_rate")
    }


def _require_known(phase: Phase) -> None:
    for stated, known, what in (
        (phase.recipe, OWN_FIELDS, "overrides"),
        (phase.recipe_factors, FACTORS, "multiplies"),
    ):
        for name in stated:
            if name not in known:
                raise SpecError(
                    f"Phase '{phase.name}' {what} '{name}', which is not an optimiser setting that it can change."
                    f"{near_miss(name, known)}",
                    f"Optimiser settings: {', '.join(known)}.",
                )
    for name, factor in phase.recipe_factors.items():
        if name in phase.recipe:
            raise SpecError(f"Phase '{phase.name}' both overrides and multiplies {name}.", "Do one of the two.")
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 <= factor < float("inf"):
            raise SpecError(f"Phase '{phase.name}' multiplies {name} by {factor!r}.", "Use a number of at least 0.")


def _reason(phase: Phase, name: str) -> str:
    factor = phase.recipe_factors.get(name)
    return "" if factor is None else f" ({factor:g} times the recipe's)"


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
