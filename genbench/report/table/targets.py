"""Time to quality in the table: images and seconds until a metric reached its target, for good."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from genbench.api.evaluation import Direction
from genbench.errors import UsageError, near_miss
from genbench.gate.time_to_target import time_to_target
from genbench.report import numbers
from genbench.report.table.layout import Column, Footnotes, Value
from genbench.results.schema import CellResult, Target
from genbench.results.store import RunContents

NOT_REACHED = "not reached"
_ENDED = ("ok", "collapsed", "diverged")  # a cell that ended otherwise may have reached its targets later


def targets_of(runs: Iterable[RunContents]) -> list[Target]:
    """Return the targets with which these runs were planned, each once."""
    return list({(t.metric, t.value): t for run in runs for t in run.record.targets}.values())


def find_targets(runs: Sequence[RunContents], wanted: Iterable[tuple[str, float]]) -> list[Target]:
    """Return targets for metrics that these runs have measured; raise `UsageError` with the near miss."""
    directions: dict[str, Direction] = {
        estimate.metric: estimate.direction
        for run in runs
        for result in run.cells.results.values()
        for estimates in (*(point.estimates for point in result.evaluations), result.estimates)
        for estimate in estimates
    }
    found = []
    for metric, value in wanted:
        if metric not in directions:
            raise UsageError(
                f"No cell has measured '{metric}'.{near_miss(metric, directions)}",
                f"Measured: {', '.join(directions) or 'nothing'}.",
            )
        found.append(Target(metric=metric, value=value, direction=directions[metric]))
    return found


def target_columns(targets: Iterable[Target]) -> list[Column]:
    """Return two columns for each target."""
    return [Column(key, direction="lower", numeric=True) for target in targets for key in _keys(target)]


def columns_of(metric: str, targets: Iterable[Target]) -> list[str]:
    """Return the columns that rest on this metric."""
    return [key for target in targets if target.metric == metric for key in _keys(target)]


def seconds_to(target: Target) -> str:
    """Return the column of seconds, which rests on the machine too."""
    return _keys(target)[1]


def target_values(result: CellResult | None, targets: Iterable[Target], notes: Footnotes) -> dict[str, Value]:
    """Return what a cell took to reach each target; nothing of a cell that did not measure the metric, or not end."""
    values: dict[str, Value] = {}
    for target in targets if result is not None and result.status in _ENDED else ():
        assert result is not None
        points = [point for point in result.evaluations if any(e.metric == target.metric for e in point.estimates)]
        if points:
            values |= dict(zip(_keys(target), _took(result, target, notes), strict=True))
    return values


def _took(result: CellResult, target: Target, notes: Footnotes) -> tuple[Value, Value]:
    reached = time_to_target(result.evaluations, result.windows, target)
    if reached is None or result.status == "diverged":
        return Value(NOT_REACHED), Value(NOT_REACHED)
    every = result.identity.recipe.get("evaluate_every")
    if not isinstance(every, int) or not every:
        mark = notes.mark("reached at the end, but not evaluated before: nobody knows when; use --evaluate-every")
        return Value("n/a", marks=(mark,)), Value("n/a", marks=(mark,))
    mark = notes.mark(
        f"the first of the evaluations, one after every {numbers.count(every)} images, from which the metric stayed "
        "at the target or better until the end of training: late by at most that much"
    )
    return (
        Value(numbers.count(reached.images), reached.images, marks=(mark,)),
        Value(numbers.significant(reached.seconds, 3), reached.seconds, marks=(mark,)),
    )


def _keys(target: Target) -> tuple[str, str]:
    said = f"{target.metric} {'≤' if target.direction == 'lower' else '≥'} {target.value:g}"
    return f"images to {said}", f"seconds to {said}"
