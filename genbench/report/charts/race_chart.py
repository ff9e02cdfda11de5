"""The chart of a race: how many seeds each candidate ran, and who was dropped at which look, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genbench.gate.race import left_after
from genbench.report import numbers
from genbench.report.race_text import drop_text, summary_text
from genbench.report.table.layout import clean
from genbench.results.schema import PlannedRace, RaceLook
from genbench.results.store import RunContents

_LONGEST = 2000


@dataclass(frozen=True)
class Lane:
    """A candidate of the race."""

    name: str
    seeds: int  # that it ran
    value: str  # mean and error over them
    fate: str  # when and why it was dropped
    left: bool


@dataclass(frozen=True)
class RaceChart:
    """A race with its looks."""

    summary: str
    metric: str
    looks: tuple[int, ...]  # the number of seeds at each
    lanes: tuple[Lane, ...]  # those that are left first, then those that were dropped last


def race_charts(runs: Sequence[RunContents]) -> list[RaceChart]:
    """Return the chart of each race of which a look was taken."""
    return [
        _chart(race, looks)
        for run in runs
        if run.race is not None
        for race, looks in zip(run.record.races, run.race.looks, strict=False)
        if looks
    ]


def _chart(race: PlannedRace, looks: Sequence[RaceLook]) -> RaceChart:
    left = left_after(race, looks)
    dropped = {drop.candidate: (look, drop) for look in looks for drop in look.drops}
    standings = {one.candidate: one for look in looks for one in look.standings}  # the last one counts
    lanes = []
    for candidate in race.candidates:
        gone, standing = dropped.get(candidate.name), standings.get(candidate.name)
        known = standing is not None and standing.mean is not None
        lanes.append(
            Lane(
                name=clean(candidate.name),
                seeds=gone[0].seeds if gone else looks[-1].seeds,
                value=numbers.with_error(standing.mean or 0.0, standing.standard_error) if standing and known else "–",
                fate=clean(f"dropped {drop_text(race, *gone)}", _LONGEST) if gone else "left",
                left=candidate.name in left,
            )
        )
    return RaceChart(
        summary=clean(summary_text(race, looks), _LONGEST),
        metric=clean(race.metric),
        looks=tuple(look.seeds for look in looks),
        lanes=tuple(sorted(lanes, key=lambda lane: (not lane.left, -lane.seeds))),
    )
