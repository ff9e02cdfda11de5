"""`genbench.plan`: which cells a request has, which are impossible and why, and what they would cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
from tabulate import tabulate

from genbench.api.jobs import Resources
from genbench.api.options import OptionValue
from genbench.api.recipe import resolve_recipe
from genbench.builtin.extractors.inception_weights import at_hand as inception_at_hand
from genbench.commands.arguments import request_of
from genbench.commands.device import parse_device, resolve_auto
from genbench.commands.preparation import Prepared, choose_job_runner, prepared, time_limit
from genbench.commands.weights import inception_weights
from genbench.measure.machine import default_threads
from genbench.planning import planner
from genbench.planning.default_extractors import extractor_choices
from genbench.planning.executor_choice import LOCAL
from genbench.planning.identity import step_key
from genbench.planning.request import Request
from genbench.plugins.catalogue import discover
from genbench.process.messages import Job
from genbench.report.markup import markdown
from genbench.report.race_text import plan_data, plan_text
from genbench.report.table.layout import clean
from genbench.report.table.settings import setting_text
from genbench.results.cell_names import shown_names
from genbench.results.schema import CellIdentity, PlannedCell, PlannedRace
from genbench.runner.job_runner import JobRunner
from genbench.runner.jobs.cost_trials import TRIAL_SECONDS, seconds_per_image, trials
from genbench.runner.jobs.schedule import Attempt
from genbench.runner.open_executor import problems_elsewhere
from genbench.runner.plugin_executor import resources_of
from genbench.runner.run_executor import Submission

_MEBIBYTE = 2**20
_HOW_TO_RUN = ("progress", "in_process")  # arguments of `genbench.run` that do not affect the plan


@dataclass(frozen=True)
class Cost:
    """What a cell would cost, from one second of its training; evaluation takes extra time."""

    steps: int | None = None
    seconds: float | None = None  # of training
    parameters: int | None = None
    peak_rss: int | None = None  # resident memory in bytes
    fails: bool = False  # the trial failed; `note` says why
    tried: bool = True  # False: there was no time
    note: str = ""


@dataclass(frozen=True)
class CellPlan:
    """One cell of a plan."""

    id: str
    name: str  # as people see it
    identity: CellIdentity
    variant: str = ""  # the plan's name for its recipe
    reason: str = ""  # why it is impossible, or empty
    cost: Cost | None = None  # None: not requested, or impossible

    @property
    def possible(self) -> bool:
        """Whether it would run."""
        return not self.reason

    @property
    def metrics(self) -> dict[str, dict[str, OptionValue]]:
        """The metrics that it would measure, with their options."""
        options = self.identity.metric_options or {}
        return {name: options.get(name, {}) for name in self.identity.metrics}


@dataclass(frozen=True, eq=False)
class Plan:
    """What `genbench run --dry-run` shows."""

    cells: tuple[CellPlan, ...]
    profile: str
    device: str
    warnings: tuple[str, ...] = ()
    with_costs: bool = False
    distances: tuple[str, ...] = ()  # which extractor the data chose for a dataset, and why
    races: tuple[PlannedRace, ...] = ()
    executor: str = LOCAL

    @property
    def possible(self) -> tuple[CellPlan, ...]:
        """The cells that would run."""
        return tuple(cell for cell in self.cells if cell.possible)

    @property
    def failing(self) -> tuple[CellPlan, ...]:
        """The cells of which a trial failed, or that the executor's engine can never run."""
        return tuple(cell for cell in self.cells if cell.cost is not None and cell.cost.fails)

    @property
    def seconds(self) -> float | None:
        """The estimated time of training of all cells that were tried; None without costs."""
        if not self.with_costs:
            return None
        return sum(cell.cost.seconds or 0 for cell in self.cells if cell.cost is not None)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def text(self) -> str:
        """Return a table of the cells, with a summary below."""
        return f"{self._table('simple', str)}\n\n{self._summary()}\n"

    def to_json(self) -> str:
        """Return the cells as JSON, with their costs."""
        rows = []
        for cell in self.cells:
            row: dict[str, Any] = {
                "id": cell.id, "cell": cell.name, "possible": cell.possible, "reason": cell.reason,
                "metrics": cell.metrics,
            }  # fmt: skip
            rows.append(row | (_facts(cell.cost) if cell.cost is not None else {}))
        data: dict[str, Any] = {"cells": rows, "distances": self.distances}
        data |= {"training_seconds": self.seconds} if self.with_costs else {}
        data |= {"executor": self.executor} if self.executor != LOCAL else {}
        data |= {"races": [plan_data(race) for race in self.races]} if self.races else {}
        return msgspec.json.format(msgspec.json.encode(data)).decode() + "\n"

    def _repr_html_(self) -> str:
        return f"{self._table('html', str)}\n<p>{self._summary()}</p>"

    def _repr_markdown_(self) -> str:
        return f"{self._table('github', markdown)}\n\n{markdown(self._summary())}\n"

    def _table(self, format: str, escape: Callable[[str], str]) -> str:
        headings = ["cell", *(["steps", "parameters", "training", "peak memory"] if self.with_costs else []), "note"]
        rows = [[escape(clean(text, 2000)) for text in self._row(cell)] for cell in self.cells]
        align = ["left", *["right"] * (len(headings) - 2), "left"]
        return tabulate(rows, headings, tablefmt=format, disable_numparse=True, colalign=align if rows else None)

    def _row(self, cell: CellPlan) -> list[str]:
        cost = cell.cost or Cost()
        note = cost.note or (f"impossible: {cell.reason}" if cell.reason else "")
        if not self.with_costs:
            return [cell.name, note]
        return [
            cell.name,
            f"{cost.steps:,}" if cost.steps else "–",
            f"{cost.parameters:,}" if cost.parameters else "–",
            duration(cost.seconds) if cost.seconds else "–",
            f"{cost.peak_rss / _MEBIBYTE:,.0f} MiB" if cost.peak_rss else "–",
            note,
        ]

    def _summary(self) -> str:
        running = len(self.possible) - len(self.failing)
        text = f"{running} of {len(self.cells)} cells would run under profile '{self.profile}' on {self.device}"
        if self.executor != LOCAL:
            text += f" with the executor '{self.executor}', whose nodes may be of any speed: the costs are unknown"
        text += (
            "."
            if self.seconds is None
            else (
                f"; training takes about {duration(self.seconds)}, estimated from one second of each; "
                "evaluation takes extra time."
            )
        )
        metrics = {name: options for cell in self.possible for name, options in cell.metrics.items()}
        text += f"\nmetrics: {', '.join(map(_with_options, metrics, metrics.values())) or 'none'}"
        text += "".join(f"\ndistance: {each}" for each in self.distances)
        text += "".join(f"\n{plan_text(race)}" for race in self.races)
        left_out = sum(cell.cost is not None and not cell.cost.tried for cell in self.cells)
        if left_out:
            cells = "1 cell was" if left_out == 1 else f"{left_out} cells were"
            text += f"\n{cells} neither tried nor estimated: a dry run tries cells for {TRIAL_SECONDS:g} s."
        return text


def plan(*, cost: bool = False, **request: Any) -> Plan:
    """Return what `genbench.run` would execute with the same arguments; nothing is trained.

    Raises `UsageError` for an invalid request, and for one without a possible cell.

    Args:
        cost: also build each kind of cell and train it for a second, in worker processes, to estimate its cost.
        request: the arguments of `genbench.run`.
    """
    asked = request_of({name: value for name, value in request.items() if name not in _HOW_TO_RUN})
    if cost:
        notes: list[str] = []
        with prepared(asked, choose_job_runner(False), notes.append) as ready:
            return tried(ready, asked)
    device = resolve_auto(parse_device(asked.device))
    with inception_weights(asked.weights):
        made = planner.make_plan(asked, discover(asked.plugins), device.partition(":")[0], inception_at_hand())
    return _shown(made, device)


def tried(ready: Prepared, request: Request) -> Plan:
    """Return a plan with costs; for the executor of a plugin, with what its engine can never run instead.

    Raises `UsageError` if that executor is unavailable, and `ExecutorFailed`.
    """
    if ready.chosen_executor.name == LOCAL:
        return with_costs(ready.executor, ready.plan, ready.device, request.threads)
    plugin = ready.catalogue.require("executors", ready.chosen_executor.name).plugin
    cells, threads = ready.plan.possible, request.threads or default_threads()

    def needs(limits_time: bool) -> list[Resources]:
        known = seconds_per_image(cells, ready.catalogue, ready.device, threads, _ignore) if limits_time else {}
        return [_needs(cell, ready, request, threads, known) for cell in cells]

    problems = problems_elsewhere(ready.chosen_executor, plugin, needs)
    refused = {cell.id: Cost(fails=True, note=f"cannot be executed: {why}")
               for cell, why in zip(cells, problems, strict=True) if why}  # fmt: skip
    shown = _shown(ready.plan, ready.device, refused)
    return replace(shown, executor=ready.chosen_executor.name, with_costs=False)


def _needs(
    cell: PlannedCell, ready: Prepared, request: Request, threads: int, known: Mapping[bytes, float]
) -> Resources:
    job = Job(task="cell", cell=cell, device=ready.device, threads=threads, memory_limit=request.memory_limit or None)
    rate = known.get(step_key(cell.identity)) if known else None
    estimate = None if rate is None else rate * resolve_recipe(cell.identity.recipe).images
    attempt = Attempt("", cell.id, 1)
    return resources_of(Submission(attempt, cell.id, job, time_limit(ready.plan, request), estimate=estimate))


def _ignore(text: str) -> None:
    pass


def with_costs(pool: JobRunner, made: planner.Plan, device: str, threads: int | None) -> Plan:
    """Return a plan with the estimated cost of each possible cell.

    One of the cells whose steps cost the same is built and trained for a second, which reveals cells that would fail;
    after `TRIAL_SECONDS`, no more cells are.
    """
    measured = trials(pool, made.possible, lambda cell: made.plugins, device, threads)
    costs: dict[str, Cost] = {}
    for cell in made.possible:
        key = step_key(cell.identity)
        costs[cell.id] = _cost(cell, measured[key]) if key in measured else Cost(tried=False, note="not estimated")
    return _shown(made, device, costs)


def _shown(made: planner.Plan, device: str, costs: dict[str, Cost] | None = None) -> Plan:
    names = shown_names(made.cells)
    cells = tuple(
        CellPlan(cell.id, names[cell.id], cell.identity, cell.variant, cell.reason, (costs or {}).get(cell.id))
        for cell in made.cells
    )
    distances = tuple(dict.fromkeys(each for one in made.references for each in extractor_choices(one)))
    return Plan(cells, made.profile.name, device, tuple(made.warnings), costs is not None, distances, tuple(made.races))


def _cost(cell: PlannedCell, facts: dict[str, Any] | str) -> Cost:
    if isinstance(facts, str):
        return Cost(fails=True, note=f"would fail: {facts}")
    if not facts:
        return Cost(note="no estimate: no response within 60 s")
    steps = -(-resolve_recipe(cell.identity.recipe).images // facts["images_per_step"])
    return Cost(
        steps=steps,
        seconds=steps * facts["seconds_per_step"],
        parameters=facts["parameters"],
        peak_rss=facts["peak_rss"],
        note="; ".join(facts["notes"]),
    )


def _facts(cost: Cost) -> dict[str, Any]:
    """Return what is known, under the names of `genbench run --dry-run --json`."""
    known = {name: getattr(cost, name) for name in ("steps", "seconds", "parameters", "peak_rss")}
    found = {name: value for name, value in known.items() if value is not None} | {"note": cost.note}
    return {"fails": True, **found} if cost.fails else found


def _with_options(name: str, options: Mapping[str, OptionValue]) -> str:
    values = ", ".join(f"{option} = {setting_text(option, value)}" for option, value in options.items())
    return f"{name} ({values})" if values else name


def duration(seconds: float) -> str:
    """Return a time for readers, such as ``12 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
