"""Targets of training: metrics with a single value, and how often they are measured while a model trains."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Literal, TypeAlias

from genbench.api.evaluation import Direction
from genbench.api.recipe import Recipe
from genbench.errors import UsageError, near_miss
from genbench.results.schema import PlannedCell, Target

EVALUATIONS = 20  # during training, if a target is given and the recipe sets no interval

Directions: TypeAlias = Mapping[str, Direction | Literal["each"]]  # of every known metric


def single_value_direction(setting: str, metric: str, measured: Collection[str], directions: Directions) -> Direction:
    """Return the direction of a metric; raise `UsageError` unless this run measures it and it has a single value.

    Args:
        setting: the setting that names the metric.
        metric: the name of the metric.
        measured: names of the metrics that this run measures.
        directions: the direction of every known metric.
    """
    single = [name for name in measured if directions[name] != "each"]
    here = f"Metrics of this run with a single value: {', '.join(single) or 'nothing'}."
    if setting == "target":
        here += " After a run, `genbench table RUN --target` accepts any value that it measured."
    if metric not in directions:
        raise UsageError(f"{setting} '{metric}' is not a metric.{near_miss(metric, directions)}", here)
    if metric not in measured:
        raise UsageError(f"{setting} '{metric}' is not measured in this run.", f"Add it to --metrics. {here}")
    direction = directions[metric]
    if direction == "each":
        raise UsageError(
            f"{setting} '{metric}' has several values, whose names are not known before they are measured.", here
        )
    return direction


def make_targets(
    wanted: Iterable[tuple[str, float]], measured: Collection[str], directions: Directions
) -> list[Target]:
    """Return targets; raise `UsageError` for a metric that this run does not measure as a single value."""
    return [
        Target(metric=metric, value=value, direction=single_value_direction("target", metric, measured, directions))
        for metric, value in dict.fromkeys(wanted)
    ]


def with_evaluations(recipe: Recipe) -> Recipe:
    """Return a recipe that evaluates during training: at its own interval, else after each twentieth of the budget."""
    return replace(recipe, evaluate_every=recipe.evaluate_every or max(1, recipe.images // EVALUATIONS))


def check_targets(targets: Iterable[Target], cells: Iterable[PlannedCell]) -> None:
    """Raise `UsageError` for a target whose metric no cell measures."""
    measured = dict.fromkeys(metric for cell in cells for metric in cell.identity.metrics)
    for target in targets:
        if target.metric not in measured:
            raise UsageError(
                f"target '{target.metric}' is not measured for any of these models on these data.",
                f"Measured for them: {', '.join(measured) or 'nothing'}.",
            )
