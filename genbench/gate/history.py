"""History over runs: time series of the speed and qualities of each cell, over comparable measurements.

Values belong to one series if the settings agree, and for a speed the machine, for a quality the protocol. Measurements
under other conditions form another series: a change of the machine is not a change of the code. So does each run whose
machine is not known.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from genbench.api.evaluation import Direction
from genbench.gate.conditions import UNKNOWN, is_known
from genbench.gate.from_run import measurements_of_run
from genbench.gate.judge import SPEED
from genbench.gate.measurements import Quality
from genbench.gate.speed_interval import explanation
from genbench.results.store import RunContents
from genbench.stats.changepoints import MAX_VALUES, Segment, segments
from genbench.stats.intervals import Mean, mean_and_error


@dataclass(frozen=True)
class Point:
    """One run's measurement."""

    run: str
    created: str  # UTC, ISO 8601
    commit: str  # for display; empty if the run recorded none
    value: float  # mean over seeds; for speeds the geometric mean
    seeds: int
    error: float | None = None  # standard error over seeds; of one seed that of the measurement; None: unknown


@dataclass(frozen=True)
class Change:
    """A change of level."""

    index: int  # of the first point at the new level
    before: float
    after: float
    better: bool

    @property
    def share(self) -> float | None:
        """The relative change; None from a level of 0."""
        return self.after / self.before - 1 if self.before else None


@dataclass(frozen=True)
class TimeSeries:
    """One quantity of one cell over runs, measured under equal conditions."""

    cell: str
    quantity: str
    conditions: str  # for display: the machine, or the protocol
    direction: Direction
    points: Sequence[Point]
    levels: Sequence[Segment]

    @property
    def changes(self) -> list[Change]:
        """Where the level changed, in order."""
        found = []
        for before, after in zip(self.levels, self.levels[1:], strict=False):
            better = (after.level > before.level) == (self.direction == "higher")
            found.append(Change(after.start, before.level, after.level, better))
        return found


class MeasuredPoint(NamedTuple):
    """One point, and the series that it belongs to."""

    cell: str
    quantity: str
    settings: str  # everything that must agree within a series
    conditions: str  # for display
    direction: Direction
    point: Point


def time_series(runs: Sequence[RunContents]) -> list[TimeSeries]:
    """Return all time series of these runs, grouped by cell."""
    return series_of(point for run in runs for point in measured_points(run))


def measured_points(run: RunContents) -> list[MeasuredPoint]:
    """Return what one run contributes to time series."""
    found = []
    for cell, entry in measurements_of_run(run).entries.items():
        measured: dict[str, tuple[Mean | None, int, Mapping[str, object], Direction]] = {
            SPEED: (
                None if entry.uncertain else _mean_speed(entry.speeds), len(entry.speeds),
                _machine(run.name, entry.machine), "higher",
            )
        }  # fmt: skip
        measured |= {
            name: (_mean_quality(one), len(one.values), one.protocol, one.direction)
            for name, one in entry.qualities.items()
        }
        for quantity, (mean, seeds, conditions, direction) in measured.items():
            if mean is None:
                continue
            settings = _described({**entry.settings, **conditions})
            shown = _described({n: v for n, v in conditions.items() if v != "none"})
            commit = commit_of(run.record.environment)
            point = Point(run.name, run.record.created, commit, mean.value, seeds, mean.standard_error)
            found.append(MeasuredPoint(cell, quantity, settings, shown, direction, point))
    return found


def series_of(points: Iterable[MeasuredPoint], most: int = MAX_VALUES) -> list[TimeSeries]:
    """Return the time series of these points, grouped by cell; the latest `most` of each are searched for changes."""
    grouped: dict[tuple[str, str, str], list[MeasuredPoint]] = {}
    for point in sorted(points, key=lambda one: one.point.created):
        grouped.setdefault((point.cell, point.quantity, point.settings), []).append(point)
    cells = {cell: number for number, cell in enumerate(dict.fromkeys(cell for cell, _, _ in grouped))}
    found = []
    for key in sorted(grouped, key=lambda key: cells[key[0]]):
        last, own = grouped[key][-1], [one.point for one in grouped[key]]
        found.append(TimeSeries(key[0], key[1], last.conditions, last.direction, own, _levels(own, most)))
    return found


def left_out(runs: Sequence[RunContents]) -> list[str]:
    """Return which speeds are in no series because they were measured under too much disturbance, one line each."""
    return [
        f"{run.name}: the throughput of {cell} is left out: {explanation(entry.uncertain)}"
        for run in runs
        for cell, entry in measurements_of_run(run).entries.items()
        if entry.uncertain
    ]


def commit_of(environment: Mapping[str, object]) -> str:
    """Return the commits that a run was made from, for display: with package names if there are several.

    A plus sign marks uncommitted changes.
    """
    commits = environment.get("commits")
    known = {
        str(name): f"{str(facts.get('commit', ''))[:10]}{'+' if facts.get('dirty') else ''}"
        for name, facts in (commits.items() if isinstance(commits, Mapping) else ())
        if isinstance(facts, Mapping) and facts.get("commit")
    }
    return " ".join(known.values() if len(known) == 1 else [f"{name} {commit}" for name, commit in known.items()])


def _levels(points: Sequence[Point], most: int) -> list[Segment]:
    """Return the segments of constant level, on a logarithmic scale if all values are positive, else relative."""
    values = [point.value for point in points]
    if min(values) > 0:
        found = segments([math.log(value) for value in values], most=most)
        return [Segment(s.start, s.stop, math.exp(s.level)) for s in found]
    scale = statistics.median(abs(value) for value in values) or max(abs(value) for value in values) or 1.0
    return [Segment(s.start, s.stop, s.level * scale) for s in segments([value / scale for value in values], most=most)]


def _machine(run: str, facts: Mapping[str, str]) -> Mapping[str, str]:
    """Return the conditions of a speed; a machine that is not known equals that of no other run."""
    known = all(is_known(name, value) for name, value in {"machine": UNKNOWN, **facts}.items())
    return facts if known else {**facts, "run": run}


def _mean_speed(values: Sequence[float]) -> Mean | None:
    """Return the geometric mean of speeds, and its standard error: that of the logarithms, times the mean."""
    if not values or not all(math.isfinite(value) and value > 0 for value in values):
        return None
    logarithm = mean_and_error([math.log(value) for value in values])
    mean, error = math.exp(logarithm.value), logarithm.standard_error
    return Mean(mean, None if error is None else error * mean)


def _mean_quality(quality: Quality) -> Mean | None:
    values = quality.values
    if not values or not all(math.isfinite(value) for value in values):
        return None
    if len(values) > 1:
        return mean_and_error(values)
    error = quality.errors[0] if quality.errors else None
    return Mean(values[0], error if error is not None and math.isfinite(error) else None)


def _described(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {facts[name]}" for name in sorted(facts))
