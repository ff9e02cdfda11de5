"""Targets of training: metrics with a single value, and how often they are measured while a model trains."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Literal, TypeAlias

from genbench.api.evaluation import Direction
from genbench.api.recipe import Recipe
from genbench.errors import UsageError, near_miss
from genbench.results.schema import PlannedCell, Target

EVALUATIONS = 20  # during training, if a target is given and the recipe sets no interval

Directions: TypeAlias = Mapping[str, Direction | Literal["each"]]  # of every known metric
Estimates: TypeAlias = Mapping[str, Mapping[str, Direction]]  # declared by each metric with several values


def with_estimates(metrics: Collection[str], estimates: Estimates) -> list[str]:
    """Return these metrics and the estimates of those that have several values."""
    return [*metrics, *(name for metric in metrics for name in estimates.get(metric, ()))]


def single_value_direction(
    setting: str,
    metric: str,
    measured: Collection[str],
    directions: Directions,
    estimates: Estimates = MappingProxyType({}),
) -> Direction:
    """Return the direction of a metric; raise `UsageError` unless this run measures it and it has a single value.

    Args:
        setting: the setting that names the metric.
        metric: the name of the metric.
        measured: names of the metrics that this run measures.
        directions: the direction of every known metric.
        estimates: what may be named, too.
    """
    several = {name: direction for each in estimates.values() for name, direction in each.items()}
    known: Directions = {**directions, **several}  # one of the values may have the name of its metric
    measured = with_estimates(measured, estimates)
    single = [name for name in dict.fromkeys(measured) if known[name] != "each"]
    here = f"Metrics of this run with a single value: {', '.join(single) or 'nothing'}."
    if setting == "target":
        here += " After a run, `genbench table RUN --target` accepts any value that it measured."
    if metric not in known:
        suggestion = near_miss(metric, single) or near_miss(metric, known)
        raise UsageError(f"{setting} '{metric}' is not a metric.{suggestion}", here, code="GB101")
    if metric not in measured:
        raise UsageError(
            f"{setting} '{metric}' is not measured in this run.", f"Add it to --metrics. {here}", code="GB602"
        )
    direction = known[metric]
    if direction == "each" and estimates.get(metric):
        raise UsageError(
            f"{setting} '{metric}' has several values.", f"Name one: {', '.join(estimates[metric])}.", code="GB107"
        )
    if direction == "each":
        raise UsageError(
            f"{setting} '{metric}' has several values, whose names are not known before they are measured.",
            here,
            code="GB107",
        )
    return direction


def make_targets(
    wanted: Iterable[tuple[str, float]],
    measured: Collection[str],
    directions: Directions,
    estimates: Estimates = MappingProxyType({}),
) -> list[Target]:
    """Return targets; raise `UsageError` for a metric that this run does not measure as a single value."""
    return [
        Target(
            metric=metric,
            value=value,
            direction=single_value_direction("target", metric, measured, directions, estimates),
        )
        for metric, value in dict.fromkeys(wanted)
    ]


def with_evaluations(recipe: Recipe) -> Recipe:
    """Return a recipe that evaluates during training: at its own interval, else after each twentieth of the budget."""
    return replace(recipe, evaluate_every=recipe.evaluate_every or max(1, recipe.images // EVALUATIONS))


def check_targets(
    targets: Iterable[Target], cells: Iterable[PlannedCell], estimates: Estimates = MappingProxyType({})
) -> None:
    """Raise `UsageError` for a target whose metric no cell measures."""
    measured = dict.fromkeys(name for cell in cells for name in with_estimates(cell.identity.metrics, estimates))
    for target in targets:
        if target.metric not in measured:
            raise UsageError(
                f"target '{target.metric}' is not measured for any of these models on these data.",
                f"Measured for them: {', '.join(measured) or 'nothing'}.",
                code="GB602",
            )
