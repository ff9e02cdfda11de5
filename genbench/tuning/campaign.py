"""Executing the trials of a tuning: each is a cell, with the limits, statuses and checkpoints of every other cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import structs

from genbench.api.evaluation import Direction, Estimate
from genbench.errors import UsageError
from genbench.gate.samples import MEASURED
from genbench.plugins.catalogue import Catalogue
from genbench.results.schema import CellResult, PlannedCell, RunRecord
from genbench.results.store import RunDirectory
from genbench.results.tuning import BestOfTrials, Study, Trial, TrialStatus
from genbench.runner.run_executor import RunExecutor
from genbench.runner.supervisor import Display, Supervisor
from genbench.stats.best_of import best_of, running_best
from genbench.tuning.study import KnownTrial, ModelStudy, Rung
from genbench.tuning.trial_cells import TrialPlanner, TunedModel


@dataclass(frozen=True)
class Goal:
    """What all studies of a tuning share."""

    metric: str
    direction: Direction
    sampler: str
    rungs: Sequence[Rung]
    trials: int
    seed: int

    @property
    def images(self) -> int:
        """The budget of a study in real images."""
        return sum(rung.images * rung.trials for rung in self.rungs)

    @property
    def independent(self) -> bool:
        """Whether the trials of a study are independent draws of one distribution."""
        return self.sampler == "random" and len(self.rungs) == 1


@dataclass
class Search:
    """The study of one model, and the cells planned for it."""

    tuned: TunedModel
    study: ModelStudy
    cells: dict[tuple[int, int], PlannedCell | str] = field(default_factory=dict)  # or why there is no cell


@dataclass(frozen=True)
class Surroundings:
    """What executes the cells, and where their results go."""

    run: RunDirectory
    record: RunRecord  # with the limits that hold now
    catalogue: Catalogue
    executor: RunExecutor
    display: Display
    device: str


class Campaign:
    """All studies of a tuning. Models take turns, so that an interruption leaves them with equally many trials."""

    def __init__(
        self, goal: Goal, searches: Sequence[Search], planner: TrialPlanner, where: Surroundings,
        save: Callable[[list[Study]], None],
    ) -> None:  # fmt: skip
        """Take up what is known; `save` gets the records of all studies after each trial.

        Raises `UsageError` if a finished trial would be planned as another cell today.
        """
        self.goal, self.searches, self.planner, self.where, self._save = goal, searches, planner, where, save
        self.run = where.run
        self._planned = {cell.id for cell in self.run.record.cells}
        self._results = dict(self.run.read_cells().results)
        self._display = _TrialDisplay(where.display, sum(rung.trials for rung in goal.rungs) * len(searches))
        self._require_same_plan()

    def execute(self) -> None:
        """Make every trial that is missing. Raises `Interrupted`, and `CannotWriteResults`."""
        for rung in range(len(self.goal.rungs)):
            for number in range(self.goal.trials):
                for search in self.searches:
                    self._advance(search, number, rung)
            if rung + 1 < len(self.goal.rungs):
                for search in self.searches:
                    for trial in search.study.trials():
                        if not trial.finished and rung in trial.reported:
                            search.study.prune(trial.number)
                self._save(self.studies())

    def studies(self) -> list[Study]:
        """Return the records of all studies."""
        return [self._study(search) for search in self.searches]

    def best_point(self, search: Search) -> KnownTrial | None:
        """Return the trial with the best value; of equal ones, the first. None if every trial failed."""
        sign = 1 if self.goal.direction == "lower" else -1
        known = [trial for trial in search.study.trials()[: self.goal.trials] if trial.value is not None]
        return min(known, key=lambda trial: sign * (trial.value or 0.0), default=None)

    def _advance(self, search: Search, number: int, rung: int) -> None:
        """Train a trial for the budget of a rung, unless that is done or the trial has ended."""
        if number >= len(search.study.trials()):
            number = search.study.suggest()
        trial = search.study.trials()[number]
        if trial.finished or rung in trial.reported:
            return
        cell = self._cell(search, trial, rung)
        found = None
        if isinstance(cell, PlannedCell):
            label = f"trial {number + 1} of {self.goal.trials}"
            found = _estimate(self._executed(cell, label), self.goal.metric)
        last = rung + 1 == len(self.goal.rungs)
        if found is None or last:
            search.study.complete(number, None if found is None else found.value)
        else:
            search.study.report(number, rung, found.value)
        self._save(self.studies())

    def _executed(self, cell: PlannedCell, label: str) -> CellResult:
        """Return the result of a cell, whatever its status: a trial is made once."""
        self._display.begin(label)
        if cell.id not in self._planned:
            self.run = self.run.with_cells([cell])
            self._planned.add(cell.id)
        if cell.id not in self._results:
            alone = structs.replace(self.where.record, cells=[cell], references=[])
            where = self.where
            Supervisor(
                self.run, alone, where.catalogue, where.executor, self._display, where.device, made_once=True
            ).execute()
            self._results[cell.id] = self.run.read_cells([cell.id]).results[cell.id]
        return self._results[cell.id]

    def _cell(self, search: Search, trial: KnownTrial, rung: int) -> PlannedCell | str:
        """Return the cell of a trial; as text, why its settings make none."""
        key = trial.number, rung
        if key not in search.cells:
            images, seed = self.goal.rungs[rung].images, self.goal.seed + trial.number
            try:
                search.cells[key] = self.planner.trial_cell(search.tuned, trial.point, images, seed)
            except UsageError as error:
                search.cells[key] = error.cause
        return search.cells[key]

    def _require_same_plan(self) -> None:
        for search in self.searches:
            for trial in search.study.trials()[: self.goal.trials]:
                for rung in [*trial.reported, *([len(trial.reported)] if trial.finished and not trial.pruned else [])]:
                    cell = self._cell(search, trial, rung) if 0 <= rung < len(self.goal.rungs) else ""
                    if isinstance(cell, PlannedCell) and cell.id not in self._planned:
                        raise UsageError(
                            f"Trial {trial.number} of '{search.tuned.model}' was another cell than it would be now: "
                            "genbench, a plugin or a file has changed since, and results of both would not be "
                            "comparable.",
                            "Install the versions of that time, or start a new tuning.",
                            code="GB207",
                        )

    def _study(self, search: Search) -> Study:
        known = search.study.trials()[: self.goal.trials]
        trials = [self._trial(search, trial) for trial in known]
        ended = [trial for trial in trials if trial.status != "running"]
        sign = 1 if self.goal.direction == "lower" else -1
        values = [math.inf if trial.value is None else sign * trial.value for trial in ended]
        best = self.best_point(search)
        return Study(
            model=search.tuned.model,
            loss=search.tuned.loss,
            space={dimension.name: str(dimension.values) for dimension in search.tuned.space},
            trials=trials,
            images=self.goal.images,
            best=None if best is None else best.number,
            running_best=[_stored(sign * value) for value in running_best(values)],
            curve=_curve(values, sign) if self.goal.independent and values else [],
        )

    def _trial(self, search: Search, trial: KnownTrial) -> Trial:
        cells = [self._cell(search, trial, rung) for rung in range(min(len(trial.reported) + 1, len(self.goal.rungs)))]
        if trial.pruned:
            cells.pop()
        results = [self._results.get(cell.id) for cell in cells if isinstance(cell, PlannedCell)]
        made = [result for result in results if result is not None]
        status, reason = _status(trial, cells, made[-1] if made else None, self.goal.metric)
        found = _estimate(made[-1], self.goal.metric) if made and trial.value is not None else None
        return Trial(
            number=trial.number,
            seed=self.goal.seed + trial.number,
            settings=dict(trial.point),
            cells=[cell.id for cell in cells if isinstance(cell, PlannedCell) and cell.id in self._planned],
            status=status,
            reason=reason,
            value=trial.value,
            standard_error=None if found is None else found.standard_error,
            images=sum(result.images for result in made),
        )


class _TrialDisplay:
    """Shows cells as trials: their number among all, and in their study."""

    def __init__(self, display: Display, total: int) -> None:
        self._display, self._total, self._index, self._label = display, total, 0, ""

    def begin(self, label: str) -> None:
        """Name the next cell."""
        self._index += 1
        self._label = label

    def cell_started(self, cell: str, index: int, total: int, label: str, steps: int) -> None:
        """Show the cell under its name in the tuning."""
        self._display.cell_started(cell, self._index, self._total, f"{self._label} · {label}", steps)

    def cell_activity(self, cell: str, text: str) -> None:
        """Pass it on."""
        self._display.cell_activity(cell, text)

    def cell_progress(self, *progress: Any) -> None:
        """Pass it on."""
        self._display.cell_progress(*progress)

    def cell_finished(self, result: CellResult) -> None:
        """Pass it on."""
        self._display.cell_finished(result)

    def plan_progress(self, finished: int, total: int, left: str) -> None:
        """Show nothing: each trial is a plan of its own."""

    def message(self, text: str) -> None:
        """Pass it on."""
        self._display.message(text)


def _estimate(result: CellResult, metric: str) -> Estimate | None:
    """Return the value of a trial; None if it failed, or has none."""
    if result.status not in MEASURED:
        return None
    return next((one for one in result.estimates if one.metric == metric and one.finite), None)


def _status(
    trial: KnownTrial, cells: Sequence[PlannedCell | str], last: CellResult | None, metric: str
) -> tuple[TrialStatus, str]:
    if not trial.finished:
        return "running", ""
    if trial.pruned:
        return "pruned", ""
    if cells and isinstance(cells[-1], str):
        return "skipped", cells[-1]
    if last is None:
        return "failed", "its result is missing or damaged"
    if trial.value is None and last.status in MEASURED:
        missing = {one.metric: one.reason for one in last.unavailable}
        return "failed", f"no value of {metric}: {missing.get(metric, 'it was not measured')}"
    return last.status, last.reason


def _curve(values: Sequence[float], sign: int) -> list[BestOfTrials]:
    found = []
    for point in best_of(values):
        ends = [_stored(sign * end) for end in (point.low, point.high)][::sign]
        found.append(
            BestOfTrials(
                trials=point.trials,
                expected=_stored(sign * point.expected),
                median=_stored(sign * point.median),
                low=ends[0],
                high=ends[1],
                confidence=point.confidence,
            )
        )
    return found


def _stored(value: float) -> float | None:
    return value if math.isfinite(value) else None
