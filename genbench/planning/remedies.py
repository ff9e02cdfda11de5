"""Remedies in the recipe: whether their settings fit together, and which of them have no effect."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from genbench.api.options import OptionValue
from genbench.api.recipe import AUGMENT_POLICIES, FAMILY_FIELDS, RECIPE_SCHEMA, Recipe
from genbench.api.specs import FamilySpec
from genbench.api.training import Phase
from genbench.errors import UsageError, near_miss
from genbench.planning.initial_weights import initial_weights_path, weights_hash
from genbench.planning.targets import Directions, Estimates, single_value_direction

DISCRIMINATOR = "discriminator"  # the phase that uses `discriminator_learning_rate`
_DEFAULTS = {option.name: option.default for option in RECIPE_SCHEMA}


def check_remedies(
    recipe: Recipe,
    metrics: Collection[str],
    directions: Directions,
    estimates: Estimates = MappingProxyType({}),
) -> None:
    """Raise `UsageError` if a remedy lacks another setting that it needs.

    Args:
        metrics: names of the metrics that this run measures.
        directions: the direction of every metric there is.
        estimates: of the metrics with several values.
    """
    metric, every, patience = recipe.best_metric, recipe.evaluate_every, recipe.patience
    if patience and not metric:
        raise UsageError(
            "patience needs a metric to monitor.", f"Name it with --best-metric: {', '.join(metrics)}.", code="GB104"
        )
    if metric:
        single_value_direction("best_metric", metric, metrics, directions, estimates)
    if metric and not every:
        raise UsageError(
            "best_metric needs evaluations during training.",
            "Set the interval in images: --evaluate-every 10000.",
            code="GB104",
        )
    if recipe.augment_policy or recipe.augment_discriminator != "none":
        check_augment_policy(recipe.augment_policy)
    check_betas(recipe)


def check_betas(recipe: Recipe) -> None:
    """Raise `UsageError` if the optimiser is an Adam whose beta1 or beta2 is 1: its moments would never change."""
    if recipe.optimizer in ("adam", "adamw"):
        for name, beta in (("beta1", recipe.beta1), ("beta2", recipe.beta2)):
            if beta >= 1:
                raise UsageError(f"{name} = {beta:g} would ignore every gradient.", "Use at least 0 and less than 1.")


def unused_by_family(
    recipe: Recipe, family: FamilySpec, networks: Collection[str], phases: Sequence[Phase]
) -> dict[str, str]:
    """Return the fields of the recipe that do nothing in this family, each with the reason.

    Args:
        recipe: of the cell.
        family: what it says that it uses; if it does not say, networks and phases are looked at.
        networks: names of the networks of the model.
        phases: of a step.
    """
    unused: dict[str, str] = {}
    if family.uses is not None:
        why = f"the family '{family.name}' does not use it"
        unused = {name: why for name in FAMILY_FIELDS if name not in family.uses}
    elif "discriminator" not in networks:
        unused = dict.fromkeys(FAMILY_FIELDS, "the model has no discriminator")
    elif all(recipe.discriminator_steps not in (phase.repeats, phase.every) for phase in phases):
        unused = {"discriminator_steps": f"no phase of the family '{family.name}' runs so often"}
    if all(phase.name != DISCRIMINATOR or phase.optimizer for phase in phases):
        unused["discriminator_learning_rate"] = f"no phase is named '{DISCRIMINATOR}'"
    return unused


def settings_without_effect(recipe: Recipe, unused: Mapping[str, str]) -> list[str]:
    """Return a note on each setting that was changed from its default but has no effect here.

    Args:
        recipe: of the cell.
        unused: fields that do nothing in its family, each with the reason.
    """
    optimizer, schedule = recipe.optimizer, recipe.schedule
    augment = recipe.augment_discriminator
    idle: list[tuple[bool, str, tuple[str, ...]]] = [
        *((True, why, (name,)) for name, why in unused.items()),
        (optimizer in ("adam", "adamw"), f"{optimizer} has none", ("momentum",)),
        (schedule not in ("linear", "cosine"), f"the schedule is {schedule}", ("schedule_start", "schedule_final")),
        (schedule != "step", f"the schedule is {schedule}", ("schedule_every", "schedule_factor")),
        (augment == "none", "augment_discriminator is none", ("augment_policy",)),
        (augment != "ada", f"augment_discriminator is {augment}", ("augment_target", "augment_speed")),
        (not recipe.ema_half_life, "no weights are averaged", ("ema_ramp",)),
        (recipe.input != "loader", f"the input is {recipe.input}", ("loader_workers",)),
    ]
    return [
        f"{name} = {_text(getattr(recipe, name))} does nothing: {why}"
        for is_unused, why, names in idle
        for name in names
        if is_unused and getattr(recipe, name) != _DEFAULTS[name]
    ]


def check_augment_policy(names: Sequence[str]) -> None:
    """Raise `UsageError` if `augment_policy` is empty, or contains an unknown name or one twice."""
    allowed = f"augment_policy is a list of: {', '.join(AUGMENT_POLICIES)}."
    if not names:
        raise UsageError("augment_policy is empty.", f"{allowed} For no augmentation: augment_discriminator = 'none'.")
    for name in names:
        if name not in AUGMENT_POLICIES:
            raise UsageError(
                f"augment_policy: unknown name '{name}'.{near_miss(name, AUGMENT_POLICIES)}", allowed, code="GB101"
            )
        if list(names).count(name) > 1:
            raise UsageError(f"augment_policy contains '{name}' twice.", "Name each transformation once.")


def _text(value: OptionValue) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def initial_hash(recipe: Recipe) -> str:
    """Return the hash of the initial weights, or an empty string; raise `UsageError` if they are missing."""
    source = recipe.init_from
    return weights_hash(initial_weights_path(source)) if source else ""
