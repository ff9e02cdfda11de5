"""Leaderboards: the comparable values of one quantity on one dataset, with ranks that the errors over seeds support."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from genbench.gate.samples import Member
from genbench.report.board.records import BoardRow, BoardRun, RowEntry
from genbench.report.table.best import Rank, ranks
from genbench.report.table.layout import Column, Row, Value
from genbench.report.table.letters import TOO_MANY, are_too_many, letters_of, meaning
from genbench.report.table.outcome import CellOutcome


class Place(NamedTuple):
    """A row of a run on the board, with one of its values."""

    run: BoardRun
    row: BoardRow
    entry: RowEntry


class Standing(NamedTuple):
    """A place with its rank; None where the value is over one seed, or its error is unknown."""

    place: Place
    rank: Rank | None


@dataclass(frozen=True)
class Leaderboard:
    """All values that may be compared with each other, the best first."""

    slug: str
    places: tuple[Place, ...]

    @property
    def entry(self) -> RowEntry:
        """What all of its values share."""
        return self.places[0].entry

    @property
    def key(self) -> str:
        """Return a hash of everything that its pages show."""
        digest = hashlib.sha256()
        for place in self.places:
            digest.update(f"{place.run.slug}\0{place.run.results_hash}\0{place.row.name}\0{place.entry.html}".encode())
        return digest.hexdigest()

    @cached_property
    def letters(self) -> tuple[dict[int, str], str]:
        """The letters of places by `id`, and what they mean or why there are none; speeds have neither."""
        if self.entry.kind == "speed":
            return {}, ""
        members = [
            [Member(cell.planned, cell.result) for cell in map(place.run.cells.__getitem__, place.row.cells)]
            for place in self.places
        ]
        found, samples = letters_of(members, self.entry.column)
        about = meaning(samples) if found else TOO_MANY if are_too_many(samples) else ""
        return {id(self.places[number]): text for number, text in found.items()}, about

    def standings(self) -> list[Standing]:
        """Return the places, the best first: means over seeds with their ranks, then those without a rank."""
        column = Column(self.entry.column, self.entry.unit, self.entry.direction, numeric=True)
        several = [place for place in self.places if len(place.entry.value.seeds) > 1]
        known = {
            id(place): rank for place, rank in zip(several, ranks([_row(p) for p in several], column), strict=True)
        }
        sign = -1.0 if self.entry.direction == "higher" else 1.0
        ordered = sorted(self.places, key=lambda place: (known.get(id(place)) is None, sign * _number(place)))
        return [Standing(place, known.get(id(place))) for place in ordered]


def leaderboards(runs: Iterable[BoardRun]) -> list[Leaderboard]:
    """Return every leaderboard of these runs, by dataset and quantity, those with most values first."""
    found: dict[str, list[Place]] = {}
    for run in runs:
        for row in run.rows:
            for entry in row.entries:
                found.setdefault(entry.board, []).append(Place(run, row, entry))
    made = [Leaderboard(slug, tuple(places)) for slug, places in found.items()]
    return sorted(
        made, key=lambda one: (one.entry.dataset, one.entry.kind, one.entry.column, -len(one.places), one.slug)
    )


def leaders(standings: Sequence[Standing]) -> list[Standing]:
    """Return the places of the first significance group; none where no value is a mean over seeds."""
    return [one for one in standings if one.rank is not None and one.rank.first == 1]


def _row(place: Place) -> Row:
    """Return the row as the ranking of tables takes it."""
    cells = [place.run.cells[number] for number in place.row.cells]
    outcomes = tuple(CellOutcome(place.run.slug, cell.planned, cell.result, "", {}) for cell in cells)
    value = place.entry.value
    values = {place.entry.column: Value(value.text, value.raw, value.parts, (), value.seeds)}
    return Row("cell", place.row.name, place.run.slug, values, outcomes)


def _number(place: Place) -> float:
    raw = place.entry.value.raw
    return float(raw) if isinstance(raw, int | float) and math.isfinite(raw) else math.inf
