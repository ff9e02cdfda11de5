"""Running the races of a plan: seeds up to the next look, the look, and so on until each race has ended.

The decisions are those of `genbench.gate.race`, from stored results alone. They are written before anything follows
from them, so an interrupted race goes on as it would have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import msgspec

from genbench.gate.race import (
    Entrant,
    Value,
    boundaries,
    dropped_as_worse,
    left_after,
    look,
    next_places,
    seed_at,
)
from genbench.gate.samples import comparable_key
from genbench.planning.race_request import with_seed
from genbench.report.race_text import drop_text, end_text, look_text
from genbench.report.table.outcome import COUNTING
from genbench.results.schema import CellResult, PlannedCell, PlannedRace, RaceLook, RaceRecord, RunRecord
from genbench.results.store import RunDirectory
from genbench.runner.supervisor import skipped

Execute = Callable[[RunRecord], None]  # executes what is missing of the cells of a record


def run_races(run: RunDirectory, record: RunRecord, execute: Execute, tell: Callable[[str], object]) -> None:
    """Execute the cells of the races of a run, look by look; also what is impossible in the plan.

    Args:
        run: where the results are.
        record: its plan, with the cells that the races have added so far.
        execute: called with a record that has some of the cells; returns when each has a result.
        tell: receives a line about each look.
    """
    race = run.race
    assert race is not None  # a damaged one does not get here, see `RunDirectory.require_whole_plan`
    state = _State(run, record, race, execute)
    state.execute([cell for cell in record.cells if cell.reason])
    for number, planned in enumerate(record.races):
        _run_race(state, number, planned, tell)


class _State:
    """The cells and decisions of a run while its races go on."""

    def __init__(self, run: RunDirectory, record: RunRecord, race: RaceRecord, execute: Execute) -> None:
        self.run, self.record, self.race, self._execute = run, record, race, execute
        self.cells = {cell.id: cell for cell in record.cells}

    def execute(self, cells: Sequence[PlannedCell]) -> None:
        """Execute what is missing of these cells, some of which the races may have added."""
        self._execute(msgspec.structs.replace(self.record, cells=list(cells)))

    def add(self, cells: Sequence[PlannedCell]) -> None:
        """Add those cells to the plan that it does not have."""
        new = [cell for cell in cells if cell.id not in self.cells]
        if new:
            self.cells |= {cell.id: cell for cell in new}
            self._write(msgspec.structs.replace(self.race, added=[*self.race.added, *new]))

    def decide(self, number: int, found: RaceLook) -> None:
        """Record a look of the race with this number."""
        looks = [[*own, found] if place == number else own for place, own in enumerate(self.race.looks)]
        self._write(msgspec.structs.replace(self.race, looks=looks))

    def skip(self, id: str, reason: str) -> None:
        """Record that a planned cell will not run, unless it has a result."""
        if not self.run.cell_path(id).exists():
            self.run.write_cell(skipped(msgspec.structs.replace(self.cells[id], reason=reason)))

    def _write(self, race: RaceRecord) -> None:
        self.race = race
        self.run.write_race(race)


def _run_race(state: _State, number: int, planned: PlannedRace, tell: Callable[[str], object]) -> None:
    limits = boundaries(planned)
    _repeat_failed(state, planned, state.race.looks[number])
    _skip_dropped(state, planned, state.race.looks[number])
    while places := next_places(planned, state.race.looks[number]):
        looks = state.race.looks[number]
        cells = [_cell(state, planned, name, place) for place in places for name in left_after(planned, looks)]
        state.add(cells)
        state.execute(cells)
        ids = {
            name: [_cell(state, planned, name, place).id for place in range(places.stop)]
            for name in left_after(planned, looks)
        }
        results = state.run.read_cells(chain.from_iterable(ids.values())).results
        entrants = {name: _entrant(planned, [results.get(id) for id in own]) for name, own in ids.items()}
        found = look(entrants, places.stop, limits, planned.direction, dropped_as_worse(looks))
        state.decide(number, found)
        tell(look_text(planned, [*looks, found]))
        _skip_dropped(state, planned, state.race.looks[number])
    tell(end_text(planned, state.race.looks[number]))
    _skip_unneeded(state, planned, state.race.looks[number])


def _repeat_failed(state: _State, planned: PlannedRace, looks: Sequence[RaceLook]) -> None:
    """Execute what a resumed race has not finished of seeds that recorded looks are about, of candidates still left."""
    if looks:
        names = left_after(planned, looks)
        state.execute([_cell(state, planned, name, place) for place in range(looks[-1].seeds) for name in names])


def _skip_dropped(state: _State, planned: PlannedRace, looks: Sequence[RaceLook]) -> None:
    cells = {candidate.name: candidate.cells for candidate in planned.candidates}
    for found in looks:
        for drop in found.drops:
            for id in cells[drop.candidate][found.seeds :]:
                state.skip(id, f"dropped by the race: {drop_text(planned, found, drop)}")


def _skip_unneeded(state: _State, planned: PlannedRace, looks: Sequence[RaceLook]) -> None:
    left = left_after(planned, looks)
    for candidate in planned.candidates:
        if candidate.name in left:
            for id in candidate.cells[looks[-1].seeds :]:
                state.skip(id, f"not needed: {end_text(planned, looks)}")


def _cell(state: _State, planned: PlannedRace, name: str, place: int) -> PlannedCell:
    """Return the cell of a candidate with the seed at this place."""
    ids = next(candidate.cells for candidate in planned.candidates if candidate.name == name)
    if place < len(ids):
        return state.cells[ids[place]]
    made = with_seed(state.cells[ids[0]], seed_at(planned, place))
    return state.cells.get(made.id, made)


def _entrant(planned: PlannedRace, results: Sequence[CellResult | None]) -> Entrant:
    """Return what the results of a candidate say about the metric; a seed without a finite value is a failure."""
    ran = [result for result in results if result is not None and result.status != "skipped"]
    values = dict(_values(ran, planned.metric))
    return Entrant(values, len(ran) - len(values))


def _values(results: Sequence[CellResult], metric: str) -> Iterator[tuple[int, Value]]:
    for result in results:
        for estimate in result.estimates if result.status in COUNTING else ():
            if estimate.metric == metric and estimate.finite:
                yield result.identity.seed, Value(estimate.value, comparable_key(result, estimate))
