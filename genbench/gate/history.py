"""Series over runs: speed and qualities of each cell, ordered by time, where the numbers compare.

Values form one series while the settings, the machine of a speed, and the protocol of a quality agree. What was
measured elsewhere, or otherwise, is another series: a change of the machine is no change of the code.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genbench.api.evaluation import Direction
from genbench.gate.from_run import measurements_of_run
from genbench.gate.judge import SPEED
from genbench.results.store import RunContents
from genbench.stats.changepoints import Piece, pieces


@dataclass(frozen=True)
class Point:
    """What one run has measured."""

    run: str
    created: str  # UTC, ISO 8601
    commit: str  # for a reader; empty where the run knows none
    value: float  # mean over seeds; of speeds the geometric mean
    seeds: int


@dataclass(frozen=True)
class Change:
    """A level that differs from the one before it."""

    index: int  # of the first point on the new level
    before: float
    after: float
    better: bool

    @property
    def share(self) -> float | None:
        """By which part the level changed; None from a level of 0."""
        return self.after / self.before - 1 if self.before else None


@dataclass(frozen=True)
class Series:
    """One quantity of one cell, under equal conditions."""

    cell: str
    quantity: str
    conditions: str  # for a reader: the machine, or the protocol
    direction: Direction
    points: Sequence[Point]
    levels: Sequence[Piece]

    @property
    def changes(self) -> list[Change]:
        """Where the level changed, in order."""
        found = []
        for before, after in zip(self.levels, self.levels[1:], strict=False):
            better = (after.level > before.level) == (self.direction == "higher")
            found.append(Change(after.start, before.level, after.level, better))
        return found


def series_of(runs: Sequence[RunContents]) -> list[Series]:
    """Return all series of these runs, those of one cell beside each other."""
    ordered = sorted(runs, key=lambda run: run.record.created)
    grouped: dict[tuple[str, str, str], list[Point]] = {}
    told: dict[tuple[str, str, str], tuple[str, Direction]] = {}
    for run in ordered:
        for cell, entry in measurements_of_run(run).entries.items():
            measured: dict[str, tuple[Sequence[float], Mapping[str, object], Direction]] = {
                SPEED: (entry.speeds, entry.machine, "higher")
            }
            measured |= {name: (one.values, one.protocol, one.direction) for name, one in entry.qualities.items()}
            for quantity, (values, conditions, direction) in measured.items():
                value = _mean(values, of_speeds=quantity == SPEED)
                if value is None:
                    continue
                key = (cell, quantity, _written({**entry.settings, **conditions}))
                told[key] = (_written({n: v for n, v in conditions.items() if v != "none"}), direction)
                point = Point(run.name, run.record.created, commit_of(run.record.environment), value, len(values))
                grouped.setdefault(key, []).append(point)
    cells = list(dict.fromkeys(cell for cell, _, _ in grouped))
    keys = sorted(grouped, key=lambda key: cells.index(key[0]))
    return [Series(key[0], key[1], *told[key], grouped[key], _levels(grouped[key])) for key in keys]


def commit_of(environment: Mapping[str, object]) -> str:
    """Return the commits that a run was made from, for a reader: with the package's name where there are several.

    A plus sign tells that there were changes that are in no commit.
    """
    commits = environment.get("commits")
    known = {
        str(name): f"{str(facts.get('commit', ''))[:10]}{'+' if facts.get('dirty') else ''}"
        for name, facts in (commits.items() if isinstance(commits, Mapping) else ())
        if isinstance(facts, Mapping) and facts.get("commit")
    }
    return " ".join(known.values() if len(known) == 1 else [f"{name} {commit}" for name, commit in known.items()])


def _levels(points: Sequence[Point]) -> list[Piece]:
    """Return the levels: found on a logarithmic scale where all values are above 0, else on that of their size."""
    values = [point.value for point in points]
    if min(values) > 0:
        return [
            Piece(piece.start, piece.stop, math.exp(piece.level)) for piece in pieces([math.log(v) for v in values])
        ]
    scale = statistics.median(abs(value) for value in values) or max(abs(value) for value in values) or 1.0
    return [Piece(p.start, p.stop, p.level * scale) for p in pieces([value / scale for value in values])]


def _mean(values: Sequence[float], of_speeds: bool) -> float | None:
    if not values or not all(math.isfinite(value) for value in values) or (of_speeds and min(values) <= 0):
        return None
    if of_speeds:
        return math.exp(statistics.fmean(math.log(value) for value in values))
    return statistics.fmean(values)


def _written(facts: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {facts[name]}" for name in sorted(facts))
