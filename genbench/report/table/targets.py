"""Time to quality: the images and seconds until a metric reached its target and stayed there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from genbench.api.evaluation import Direction
from genbench.errors import UsageError, near_miss
from genbench.gate.time_to_target import time_to_target
from genbench.report import numbers
from genbench.report.table.layout import Column, Footnotes, Row, Value
from genbench.results.estimate_names import is_named, short_name
from genbench.results.schema import CellResult, Target
from genbench.results.store import RunContents

NOT_REACHED = "not reached"
_FINISHED = ("ok", "collapsed", "diverged")  # any other cell might have reached its targets later


def targets_of(runs: Iterable[RunContents]) -> list[Target]:
    """Return the targets with which these runs were planned, each once."""
    return list({(t.metric, t.value): t for run in runs for t in run.record.targets}.values())


def find_targets(runs: Sequence[RunContents], wanted: Iterable[tuple[str, float]]) -> list[Target]:
    """Return targets for metrics that these runs measured; raise `UsageError` with the nearest name otherwise."""
    directions: dict[str, Direction] = {
        estimate.metric: estimate.direction
        for run in runs
        for result in run.cells.results.values()
        for estimates in (*(point.estimates for point in result.evaluations), result.estimates)
        for estimate in estimates
    }
    directions |= {short_name(metric): direction for metric, direction in directions.items()}
    found = []
    for metric, value in wanted:
        if metric not in directions:
            raise UsageError(
                f"No cell has measured '{metric}'.{near_miss(metric, directions)}",
                f"Measured: {', '.join(directions) or 'nothing'}.",
                code="GB602",
            )
        found.append(Target(metric=metric, value=value, direction=directions[metric]))
    return found


def target_columns(targets: Iterable[Target]) -> list[Column]:
    """Return two columns for each target."""
    return [Column(key, direction="lower", numeric=True) for target in targets for key in _keys(target)]


def columns_of(metric: str, targets: Iterable[Target]) -> list[str]:
    """Return the keys of the columns that are derived from this metric."""
    return [key for target in targets if is_named(metric, target.metric) for key in _keys(target)]


def seconds_to(target: Target) -> str:
    """Return the key of the column of seconds, which depend on the machine too."""
    return _keys(target)[1]


def add_targets(rows: Iterable[Row], targets: Sequence[Target], notes: Footnotes) -> list[Row]:
    """Add what each cell took to reach each target, if it finished and measured the metric."""
    return [
        row.updated({key: value for result in row.results for key, value in _values(result, targets, notes).items()})
        for row in rows
    ]


def _values(result: CellResult, targets: Iterable[Target], notes: Footnotes) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for target in targets if result.status in _FINISHED else ():
        if any(
            is_named(estimate.metric, target.metric) for point in result.evaluations for estimate in point.estimates
        ):
            values |= dict(zip(_keys(target), _images_and_seconds(result, target, notes), strict=True))
    return values


def _images_and_seconds(result: CellResult, target: Target, notes: Footnotes) -> tuple[Value, Value]:
    reached = time_to_target(result.evaluations, result.windows, target)
    if reached is None or result.status == "diverged":
        return Value(NOT_REACHED), Value(NOT_REACHED)
    every = result.identity.recipe.get("evaluate_every")
    if not isinstance(every, int) or not every:
        mark = notes.mark(
            "reached by the end, but not evaluated during training, so the time is unknown; use --evaluate-every"
        )
        return Value("n/a", marks=(mark,)), Value("n/a", marks=(mark,))
    mark = notes.mark(
        "the first evaluation from which the metric stayed at the target or better until the end of training; with an "
        f"evaluation every {numbers.count(every)} images, late by at most that many"
    )
    return (
        Value(numbers.count(reached.images), reached.images, marks=(mark,)),
        Value(numbers.significant(reached.seconds, 3), reached.seconds, marks=(mark,)),
    )


def _keys(target: Target) -> tuple[str, str]:
    text = f"{target.metric} {'≤' if target.direction == 'lower' else '≥'} {target.value:g}"
    return f"images to {text}", f"seconds to {text}"
