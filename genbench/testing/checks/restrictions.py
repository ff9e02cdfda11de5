"""Rules of the settings that a model, loss or family works with."""

from __future__ import annotations

from typing import Any

from genbench.api.recipe import resolve_recipe
from genbench.api.restriction import DEVICE, Restriction
from genbench.api.specs import FamilySpec, LossSpec, ModelSpec
from genbench.errors import GenbenchError
from genbench.testing.check import check
from genbench.testing.findings import RuleViolation
from genbench.testing.subject import Subject

# Settings that plans often vary. Each must either work or be declared in `restrictions`.
VARIED: tuple[dict[str, Any], ...] = (
    {"augment_discriminator": "ada"},
    {"augment_discriminator": "diffaugment"},
    {"ema_half_life": 100.0},
    {"optimizer": "sgd"},
)


@check(
    "restrictions",
    *("models", "losses", "families"),
    what="Common settings of the recipe either work or are declared in `restrictions`, and the default recipe works.",
    why="A plan skips a declared combination with the reason; an undeclared one fails only after the run has started.",
    fix="Add a `genbench.Restriction` with the setting, the values and the reason, or remove one that is too wide.",
    after=("builds", "finite-steps"),
)
def restrictions(subject: Subject) -> None:
    """Plan with the defaults, then train a step with each setting that is not declared."""
    declared = _violated(subject, {})
    if declared is not None:
        raise RuleViolation(f"its own default recipe is excluded: {declared.setting}, because {declared.reason}")
    for setting in VARIED:
        if _violated(subject, setting) is None:
            _train_with(subject, setting)


def _violated(subject: Subject, setting: dict[str, Any]) -> Restriction | None:
    """Return the first restriction, declared by model, loss or family, that the setting violates."""
    model, loss, family = subject.model, subject.loss, subject.family
    recipe = resolve_recipe(model.recipe, loss.recipe, setting, owner=subject.name)
    declarations: list[tuple[ModelSpec | LossSpec | FamilySpec, dict[str, Any]]] = [
        (model, subject.options("models", model)),
        (loss, subject.options("losses", loss)),
        (family, {}),
    ]
    return next(
        (
            restriction
            for spec, own in declarations
            for restriction in spec.restrictions
            if restriction.setting != DEVICE.name and restriction.violation(recipe, "cpu", own)
        ),
        None,
    )


def _train_with(subject: Subject, setting: dict[str, Any]) -> None:
    named = ", ".join(f"{name} = {value}" for name, value in setting.items())
    try:
        engine = subject.cell(**setting).engine
        try:
            engine.step()
        finally:
            engine.data.close()
    except GenbenchError as error:
        raise RuleViolation(f"it does not work with {named}, which no restriction declares: {error.cause}") from error
