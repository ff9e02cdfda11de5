"""Settings that depend on each other: early stopping on a metric that is measured, initial weights that exist."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from genbench.api.options import OptionValue
from genbench.api.recipe import AUGMENT_POLICIES, RECIPE_SCHEMA, Recipe
from genbench.errors import UsageError, near_miss
from genbench.plan.initial_weights import file_hash, initial_weights
from genbench.plan.targets import Directions, check_watched

_DEFAULTS = {option.name: option.default for option in RECIPE_SCHEMA}


def check_remedies(recipe: Recipe, metrics: Collection[str], directions: Directions) -> None:
    """Raise `UsageError` where a setting lacks what it needs.

    Args:
        metrics: names of the metrics that this run measures.
        directions: the direction of every metric there is.
    """
    metric, every, patience = recipe.best_metric, recipe.evaluate_every, recipe.patience
    if patience and not metric:
        raise UsageError("patience needs a metric to watch.", f"Name it with --best-metric: {', '.join(metrics)}.")
    if metric:
        check_watched("best_metric", metric, metrics, directions)
    if metric and not every:
        raise UsageError(
            "best_metric needs evaluations while training.", "Say how often, in images: --evaluate-every 10000."
        )
    if recipe.augment_policy or recipe.augment_discriminator != "none":
        check_policy(recipe.augment_policy)
    if recipe.optimizer in ("adam", "adamw"):
        for name in ("beta1", "beta2"):
            if getattr(recipe, name) == 1:
                raise UsageError(f"{name} = 1 would never take in a gradient.", f"{name} is at least 0, below 1.")


def without_effect(recipe: Recipe, networks: Collection[str]) -> list[str]:
    """Say which settings, other than their defaults, do nothing in this recipe or for a model of these networks."""
    optimizer, schedule = recipe.optimizer, recipe.schedule
    augment = recipe.augment_discriminator
    idle: list[tuple[bool, str, tuple[str, ...]]] = [
        (
            "discriminator" not in networks,
            "the model has no discriminator",
            ("discriminator_steps", "discriminator_learning_rate", "augment_discriminator"),
        ),
        (optimizer in ("adam", "adamw"), f"{optimizer} has none", ("momentum",)),
        (schedule not in ("linear", "cosine"), f"the schedule is {schedule}", ("schedule_start", "schedule_final")),
        (schedule != "step", f"the schedule is {schedule}", ("schedule_every", "schedule_factor")),
        (augment == "none", "augment_discriminator is none", ("augment_policy",)),
        (augment != "ada", f"augment_discriminator is {augment}", ("augment_target", "augment_speed")),
        (not recipe.ema_half_life, "no weights are averaged", ("ema_ramp",)),
        (recipe.input != "loader", f"the input is {recipe.input}", ("loader_workers",)),
    ]
    return [
        f"{name} = {_said(getattr(recipe, name))} does nothing: {why}"
        for does_nothing, why, names in idle
        for name in names
        if does_nothing and getattr(recipe, name) != _DEFAULTS[name]
    ]


def check_policy(names: Sequence[str]) -> None:
    """Raise `UsageError` where `augment_policy` is empty, or names something twice or something that does not exist."""
    allowed = f"augment_policy takes some of: {', '.join(AUGMENT_POLICIES)}."
    if not names:
        raise UsageError("augment_policy is empty.", f"{allowed} For no augmentation: augment_discriminator = 'none'.")
    for name in names:
        if name not in AUGMENT_POLICIES:
            raise UsageError(f"augment_policy: there is no '{name}'.{near_miss(name, AUGMENT_POLICIES)}", allowed)
        if list(names).count(name) > 1:
            raise UsageError(f"augment_policy names '{name}' twice.", "Name each change once.")


def _said(value: OptionValue) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def initial_hash(recipe: Recipe) -> str:
    """Return the sha256 of the file of initial weights, or an empty string; raise `UsageError` where it is missing."""
    source = recipe.init_from
    return file_hash(initial_weights(source)) if source else ""
