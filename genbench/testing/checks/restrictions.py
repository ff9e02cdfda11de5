"""Rules of the settings that a model, loss or family works with."""

from __future__ import annotations

from typing import Any

from torch import nn

from genbench.api.recipe import resolve_recipe
from genbench.api.restriction import DEVICE, Restriction
from genbench.api.specs import FamilySpec, LossSpec, ModelSpec
from genbench.errors import GenbenchError
from genbench.testing.check import check
from genbench.testing.findings import NotApplicable, RuleViolation
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


@check(
    "uses",
    "families",
    what="`uses` names the settings of the discriminator that change a step, and no other.",
    why="A table states these settings; one that the family ignores would describe a training that did not happen.",
    fix="Name in `FamilySpec.uses` what the family reads from setup.recipe and setup.augmentation; () if nothing.",
    after=("builds", "finite-steps"),
)
def uses(subject: Subject) -> None:
    """Compare steps with and without each of these settings."""
    declared = subject.family.uses
    if declared is None:
        raise NotApplicable("the family does not declare `uses`")
    changed = {
        "discriminator_steps": _repeats(subject, 1) != _repeats(subject, 3),
        "augment_discriminator": _augments(subject),
    }
    for name, acts in changed.items():
        if acts and name not in declared:
            raise RuleViolation(f"it uses {name}, which `uses` does not name")
        if name in declared and not acts:
            raise RuleViolation(f"`uses` names {name}, but a step does not depend on it")


def _repeats(subject: Subject, steps: int) -> list[tuple[str, int, int]]:
    engine = subject.cell(discriminator_steps=steps).engine
    phases = [player.phase for player in engine.players]
    engine.data.close()
    return [(phase.name, phase.every, phase.repeats) for phase in phases]


def _augments(subject: Subject) -> bool:
    """Return whether a step applies the augmentation; not if a restriction excludes it."""
    setting: dict[str, Any] = {"augment_discriminator": "diffaugment"}
    if _violated(subject, setting) is not None:
        return "augment_discriminator" in (subject.family.uses or ())
    engine = subject.cell(**setting).engine
    assert isinstance(engine.augmentation, nn.Module)
    calls: list[object] = []
    engine.augmentation.register_forward_pre_hook(lambda module, given: calls.append(module))
    engine.step()
    engine.data.close()
    return bool(calls)


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
