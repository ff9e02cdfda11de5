"""What is watched while a model trains: metrics that are one number each, and how often they are measured."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

from genbench.api.evaluation import Direction
from genbench.api.recipe import Recipe
from genbench.errors import UsageError, near_miss
from genbench.results.schema import PlannedCell, Target

EVALUATIONS = 20  # while training, where a target is given and the recipe does not say how many

Directions: TypeAlias = Mapping[str, Direction | Literal["each"]]  # of all metrics there are


def check_watched(what: str, metric: str, measured: Collection[str], directions: Directions) -> Direction:
    """Return which values of a metric are better; raise `UsageError` unless it is one number that is measured here.

    Args:
        what: the setting that names it.
        metric: its name.
        measured: names of the metrics that this run measures.
        directions: the direction of every metric there is.
    """
    single = [name for name in measured if directions[name] != "each"]
    here = f"Measured here as one number: {', '.join(single) or 'nothing'}."
    if what == "target":
        here += " Once a run has ended, `genbench table RUN --target` takes any number that it measured."
    if metric not in directions:
        raise UsageError(f"{what} '{metric}' is not a metric.{near_miss(metric, directions)}", here)
    if metric not in measured:
        raise UsageError(f"{what} '{metric}' is not measured in this run.", f"Add it to --metrics. {here}")
    direction = directions[metric]
    if direction == "each":
        raise UsageError(
            f"{what} '{metric}' is several numbers, whose names are not known before they are measured.", here
        )
    return direction


def make_targets(
    wanted: Iterable[tuple[str, float]], measured: Collection[str], directions: Directions
) -> list[Target]:
    """Return targets of metrics that are measured here; raise `UsageError` for another one."""
    return [
        Target(metric=metric, value=value, direction=check_watched("target", metric, measured, directions))
        for metric, value in dict.fromkeys(wanted)
    ]


def with_evaluations(recipe: Recipe) -> Recipe:
    """Return a recipe that evaluates while training: as often as it says, else after each twentieth of its budget."""
    return replace(recipe, evaluate_every=recipe.evaluate_every or max(1, recipe.images // EVALUATIONS))


def check_targets(targets: Iterable[Target], cells: Iterable[PlannedCell]) -> None:
    """Raise `UsageError` for a target that no cell could reach, since none measures it."""
    measured = dict.fromkeys(metric for cell in cells for metric in cell.identity.metrics)
    for target in targets:
        if target.metric not in measured:
            raise UsageError(
                f"target '{target.metric}' is not measured of any of these models on these data.",
                f"Measured of them: {', '.join(measured) or 'nothing'}.",
            )
