"""`genbench.tune`: equally many trials for every model, and the best settings of each measured anew."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from genbench import __version__
from genbench.api.evaluation import Direction
from genbench.commands.arguments import PluginSource, described, plugin_paths, request_of
from genbench.commands.execution import (
    Output,
    create_run,
    enter_planning_directory,
    execute,
    executor_of_run,
    reopen_run,
)
from genbench.commands.load import load
from genbench.commands.plan import duration, with_costs
from genbench.commands.preparation import Prepared, choose_job_runner, prepared, require_unicode
from genbench.commands.results import Results
from genbench.commands.run import Progress, RunInterrupted, choose_output
from genbench.errors import ExitCode, GenbenchError, NoDataError, UsageError
from genbench.gate.samples import samples_of_runs, usual_metric
from genbench.planning.planner import Plan, plan_references, third_party_plugins
from genbench.planning.request import Request
from genbench.planning.search_space import make_spaces
from genbench.planning.targets import single_value_direction
from genbench.plugins.recorded_files import Allowed, loadable_files
from genbench.report.figures.appearance import make_appearance
from genbench.report.figures.figure import Figure
from genbench.report.figures.kinds import figure_of_tuning
from genbench.report.figures.options import Options
from genbench.report.tuning import tuning_markdown, tuning_text
from genbench.results.files import atomic_write, create_file, encode
from genbench.results.input_files import path_kind, read_toml
from genbench.results.run_lock import hold
from genbench.results.schema import PlannedCell, RunRecord
from genbench.results.store import RunDirectory
from genbench.results.tuning import FINAL, JOURNAL, TRIALS, TUNING, FinalValue, Study, TuningRecord, read_tuning
from genbench.runner.job_runner import JobRunner
from genbench.runner.supervisor import CannotWriteResults, Interrupted, stop_on_signals
from genbench.stats.intervals import mean_and_error
from genbench.tuning.best_settings import best_plans
from genbench.tuning.campaign import Campaign, Goal, Search, Surroundings
from genbench.tuning.study import PRUNERS, SAMPLERS, Journal, ModelStudy, check_choice, require_optuna, rungs
from genbench.tuning.trial_cells import TrialPlanner, TunedModel

DEFAULT_TRIALS, DEFAULT_FINAL_SEEDS = 20, 3
MOST_TRIALS = 1_000
LIMITS = ("timeout", "memory_limit", "threads")  # these may change when a tuning is resumed
_UNEQUAL_BUDGETS = "every model must have the same budget, so that none wins by more training"


class TuningInterrupted(GenbenchError):
    """The user interrupted a tuning; every finished trial is kept."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, path: Path) -> None:
        super().__init__("Interrupted.", f"Go on with: genbench tune --resume {shlex.quote(str(path))}")
        self.path = path


@dataclass(frozen=True)
class Tuning:
    """A tuning: its record, and the results of the final cells."""

    path: Path
    record: TuningRecord  # the content of ``tuning.json``

    @property
    def final(self) -> Results | None:
        """The best settings of each model with fresh seeds: the table to publish. None if there are no such cells."""
        path = self.path / FINAL
        return load(path) if (path / "run.json").is_file() else None

    @property
    def succeeded(self) -> bool:
        """Whether every study has a best trial, and every final cell is ok."""
        final = self.final
        return all(study.best is not None for study in self.record.studies) and (final is None or final.succeeded)

    def best(self, model: str) -> dict[str, Any]:
        """Return the best settings of a model; raise `NoDataError` if it has none."""
        for study in self.record.studies:
            if study.model == model and study.best is not None:
                return dict(study.trials[study.best].settings)
        raise NoDataError(f"No trial of '{model}' has a value.")

    def text(self) -> str:
        """Return the summary that the command prints."""
        return tuning_text(self.record)

    def figure(
        self,
        *,
        log_x: bool | None = None,
        log_y: bool | None = None,
        theme: str = "light",
        width: str | float = "two-column",
        height: float | None = None,
    ) -> Figure:
        """Return the best of k trials over k, as `genbench figure DIR --kind tuning` draws it.

        The arguments are those of `Results.figure`. Raises `NoDataError` if no trial has a value.
        """
        return figure_of_tuning(self.record, Options(log_x=log_x, log_y=log_y), make_appearance(theme, width, height))

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def _repr_markdown_(self) -> str:
        return tuning_markdown(self.record)


@dataclass(frozen=True)
class Asked:
    """What a user asks for: the request that all cells share, the search space, and how to search."""

    request: Request
    search: Mapping[str, Any]
    source: str = "the search space"
    trials: int = DEFAULT_TRIALS
    metric: str = ""  # empty: the usual distance
    sampler: str = "random"
    pruner: str = "none"
    seed: int = 0
    final_seeds: int = DEFAULT_FINAL_SEEDS

    def __post_init__(self) -> None:
        check_choice("sampler", self.sampler, SAMPLERS)
        check_choice("pruner", self.pruner, PRUNERS)
        _require_count("trials", self.trials, 1, MOST_TRIALS)
        _require_count("final-seeds", self.final_seeds, 0, MOST_TRIALS)
        _require_count("seed", self.seed, 0, 2**31 - 1 - 2 * MOST_TRIALS)
        if self.pruner != "none" and self.sampler != "random":
            raise UsageError(
                f"--pruner {self.pruner} trains all trials for a small budget before any has a whole one, so --sampler "
                f"{self.sampler} would have nothing to learn from.",
                "Use --sampler random, or no pruner.",
            )
        _require_one_of_each(self.request)


def tune(
    models: str | Sequence[str] | None = None,
    search: str | Path | Mapping[str, Any] | None = None,
    *,
    trials: int = DEFAULT_TRIALS,
    metric: str | None = None,
    sampler: str = "random",
    pruner: str = "none",
    seed: int = 0,
    final_seeds: int = DEFAULT_FINAL_SEEDS,
    losses: str | Sequence[str] | None = None,
    datasets: str | Sequence[str] | None = None,
    metrics: str | Sequence[str] | None = None,
    device: str | None = None,
    profile: str | None = None,
    set: Mapping[str, Any] | None = None,
    config: str | Path | None = None,
    plugins: PluginSource | Sequence[PluginSource] | None = None,
    weights: str | Path | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    timeout: float | None = None,
    memory_limit: float | None = None,
    threads: int | None = None,
    trust_plugins: bool = False,
    progress: Progress = True,
    in_process: bool = False,
    **recipe: Any,
) -> Tuning:
    """Tune models with equally many trials and images for each, and measure the best settings with fresh seeds.

    Needs Optuna: ``pip install 'genbench[tune]'``. The arguments have the names and meanings of the flags of `genbench
    tune`; those that `genbench.run` has too mean the same. Trials are cells on the validation split: a tenth of the
    training images stands in for the held-out ones, which decide nothing. A directory that holds a tuning with the same
    arguments is continued. Raises `UsageError` for an invalid request, and `RunInterrupted`, a KeyboardInterrupt.

    Args:
        models: names of models, as a list or separated by commas.
        search: the search space: path of a TOML file, or its content.
        trials: per model.
        metric: to be tuned; by default, the usual distance.
        sampler: ``random`` or ``tpe``.
        pruner: ``none``, or ``halving``: trials that look worse after a part of the budget get no more of it.
        seed: of the search; trial i trains with seed + i.
        final_seeds: seeds of the final cells of each model; 0: no final cells.
        losses: one loss for all models; by default, each model's own.
        datasets: one dataset; ``folder:PATH`` for your own images.
        metrics: of the final cells.
        device: as in `genbench.run`.
        profile: the budget of a trial, and of a final cell.
        set: fixed options.
        config: a TOML plan; the other arguments take precedence.
        plugins: plugin files, or imported modules with a file of their own.
        weights: path of the Inception weights.
        out: the directory of the tuning; by default, a new one in ``results/``.
        resume: a directory to go on with; only limits, plugins and weights may then be given.
        timeout: seconds per cell; 0: no limit.
        memory_limit: GiB per cell.
        threads: number of torch threads.
        trust_plugins: with `resume`, load the plugin files that the directory names: their code runs.
        progress: as in `genbench.run`.
        in_process: run the cells in this process; timings are then not valid.
        recipe: fixed fields of the recipe, such as ``batch_size=64``.
    """
    executor = choose_job_runner(in_process)
    output, _ = choose_output(progress, executor)
    limits = {"timeout": timeout, "memory_limit": memory_limit, "threads": threads}
    with _interruption_raised():
        if resume is not None:
            files = () if plugins is None else plugin_paths(plugins)
            return continue_tuning(Path(resume), executor, output, limits, Allowed(files, trust_plugins), weights)
        given = {
            "models": models, "losses": losses, "datasets": datasets, "metrics": metrics, "device": device,
            "profile": profile, "set": set, "config": config, "plugins": plugins, "weights": weights, "out": out,
            **limits, **recipe,
        }  # fmt: skip
        content, source = read_search(search)
        asked = Asked(request_of(given), content, source, trials, metric or "", sampler, pruner, seed, final_seeds)
        shown = {**given, "search": search if isinstance(search, str | Path) else "…", "trials": trials}
        return start_tuning(asked, executor, output, described("tune", shown))


def plan_tuning(
    models: str | Sequence[str] | None = None,
    search: str | Path | Mapping[str, Any] | None = None,
    *,
    trials: int = DEFAULT_TRIALS,
    metric: str | None = None,
    sampler: str = "random",
    pruner: str = "none",
    seed: int = 0,
    final_seeds: int = DEFAULT_FINAL_SEEDS,
    progress: Progress = True,
    **request: Any,
) -> TuningCost:
    """Return what `genbench.tune` would try and what that would cost; nothing is written.

    It takes the same arguments and raises the same errors. Each model is trained for a second.
    """
    executor = choose_job_runner(False)
    output, _ = choose_output(progress, executor)
    content, source = read_search(search)
    asked = request_of({"models": models, **request})
    return tuning_cost(
        Asked(asked, content, source, trials, metric or "", sampler, pruner, seed, final_seeds), executor, output
    )


def read_search(search: str | Path | Mapping[str, Any] | None) -> tuple[dict[str, Any], str]:
    """Return a search space and the name of its source; raise `UsageError` if there is none."""
    if search is None:
        raise UsageError("There is no search space.", "Give --search FILE.toml; see docs/tuning.md for an example.")
    if isinstance(search, Mapping):
        return dict(search), "the search space"
    return read_toml(Path(search)), str(search)


def load_tuning(directory: str | Path) -> Tuning:
    """Return a tuning as it is stored; raise `UsageError` if there is none."""
    return Tuning(Path(directory).expanduser(), read_tuning(directory))


def start_tuning(asked: Asked, executor: JobRunner, output: Output, command: Sequence[str]) -> Tuning:
    """Make a tuning, or go on with that in the same directory if the same was asked; return what came of it.

    Raises `UsageError`, and `TuningInterrupted`.
    """
    require_optuna()
    out = Path(asked.request.out or _default_path(asked.request.models)).expanduser()
    require_unicode("--out", str(out))
    stored = _stored(out, asked)
    with prepared(asked.request, executor, output.notify) as ready:
        goal, models, request = _goal(asked, ready)
        if stored is None:
            stored = _record(asked, goal, command)
            _create(out, stored)
        with _running(out):
            trials = _open_trials(out, request, ready)
            return _campaign(out, stored, goal, models, request, ready, trials, output)


def continue_tuning(
    out: Path,
    executor: JobRunner,
    output: Output,
    limits: Mapping[str, Any],
    allowed: Allowed,
    weights: str | Path | None = None,
) -> Tuning:
    """Make what is missing of a tuning; `limits` are those that change. Raises the errors of `start_tuning`."""
    require_optuna()
    require_unicode("--resume", str(out))
    stored = read_tuning(out)
    asked = _asked_of(out, stored)
    if not (out / TRIALS / "run.json").is_file():
        raise UsageError(f"{out} has no trial yet.", "Remove it, and start the tuning again.")
    with enter_planning_directory(RunDirectory.open_unpacked(out / TRIALS)) as trials:
        changed = {name: value for name, value in limits.items() if value is not None}
        plugins = tuple(loadable_files(trials.record, allowed))
        request = replace(asked.request, plugins=plugins, **changed)
        request = request if weights is None else replace(request, weights=str(weights))
        with prepared(request, executor, output.notify) as ready:
            goal, models, request = _goal(replace(asked, request=request), ready)
            out = trials.path.parent
            with _running(out):
                return _campaign(out, stored, goal, models, request, ready, trials, output)


@dataclass(frozen=True)
class TuningCost:
    """What `genbench tune --dry-run` shows."""

    rows: Sequence[Mapping[str, Any]]  # one per model
    metric: str
    images: int  # of all models together, in trials
    failing: bool

    @property
    def seconds(self) -> float:
        """The estimated time of training of everything."""
        return float(sum(row["seconds"] or 0 for row in self.rows))

    def text(self) -> str:
        """Return the rows as lines, with the total."""
        lines = []
        for row in self.rows:
            time = "unknown" if row["seconds"] is None else f"about {duration(row['seconds'])}"
            budgets = " + ".join(f"{count} × {images:,}" for images, count in row["rungs"])
            lines.append(
                f"{row['model']} · {row['loss']}: {len(row['space'])} settings; {budgets} images in trials, "
                f"{row['final']} final cells; training takes {time}{f' ({note})' if (note := row['note']) else ''}"
            )
            lines += [f"  {name}: {values}" for name, values in row["space"].items()]
        lines.append(
            f"Tuned by {self.metric} on the validation split. In total {self.images:,} images in trials and "
            f"about {duration(self.seconds)} of training, estimated from one second at the usual settings of each "
            "model; evaluation takes extra time."
        )
        return "\n".join(lines) + "\n"

    def data(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"models": self.rows, "metric": self.metric, "images": self.images, "training_seconds": self.seconds}


def tuning_cost(asked: Asked, executor: JobRunner, output: Output) -> TuningCost:
    """Return what a tuning would cost; nothing is written. Raises the errors of `start_tuning`."""
    require_optuna()
    with prepared(asked.request, executor, output.notify) as ready:
        goal, models, _ = _goal(asked, ready)
        costs = with_costs(ready.executor, ready.plan, ready.device, asked.request.threads)
    by_model = {cell.identity.model.name: cell.cost for cell in costs.cells}
    whole = goal.rungs[-1].images
    rows = []
    for tuned in models:
        cost = by_model[tuned.model]
        times = goal.images / whole + asked.final_seeds
        known = cost is not None and cost.seconds is not None
        rows.append(
            {
                "model": tuned.model,
                "loss": tuned.loss,
                "space": {dimension.name: str(dimension.values) for dimension in tuned.space},
                "rungs": [(rung.images, rung.trials) for rung in goal.rungs],
                "images": goal.images,
                "final": asked.final_seeds,
                "seconds": cost.seconds * times if known and cost is not None and cost.seconds is not None else None,
                "note": "" if cost is None else cost.note,
            }
        )
    return TuningCost(rows, goal.metric, goal.images * len(models), bool(costs.failing))


def _goal(asked: Asked, ready: Prepared) -> tuple[Goal, list[TunedModel], Request]:
    """Return what is tuned, the models with their spaces, and the request with the metrics of the final cells."""
    cells = ready.plan.cells
    for cell in cells:
        if cell.reason:
            raise UsageError(f"{cell.identity.model.name} with {cell.identity.loss.name}: {cell.reason}.")
    budgets = {cell.identity.model.name: cell.identity.recipe["images"] for cell in cells}
    if len({*budgets.values()}) > 1:
        shown = ", ".join(f"{model} has {images:,}" for model, images in budgets.items())
        raise UsageError(f"The budgets differ in images: {shown}; {_UNEQUAL_BUDGETS}.", "Set --images alone.")
    if any(cell.identity.recipe["patience"] for cell in cells):
        raise UsageError(f"patience would stop trials early, but {_UNEQUAL_BUDGETS}.", "Leave --patience out.")
    if ready.chosen_executor.options.get("parallel") or ready.chosen_executor.options.get("devices"):
        raise UsageError("The trials of a tuning run one after another.", "Leave --parallel and --devices out.")
    catalogue = ready.catalogue
    pairs = [
        (catalogue.models[cell.identity.model.name].spec, catalogue.losses[cell.identity.loss.name].spec)
        for cell in cells
    ]
    spaces = make_spaces(asked.search, pairs, asked.source)
    models = [TunedModel(model.name, loss.name, spaces[model.name]) for model, loss in pairs]
    metric, direction, request = _metric(asked, ready)
    images = int(next(iter(budgets.values())))  # type: ignore[arg-type]
    goal = Goal(metric, direction, asked.sampler, rungs(images, asked.trials, asked.pruner), asked.trials, asked.seed)
    planner = TrialPlanner(request, models, metric, catalogue, ready.planner)
    for tuned in models:
        usual = planner.trial_cell(tuned, {}, images, 0)
        if metric not in usual.identity.metrics:
            raise UsageError(
                f"The metric '{metric}' does not apply to '{tuned.model}' on these data.",
                f"Choose another --metric: {', '.join(_applicable(cells)) or 'none applies to all of these models'}.",
            )
        for dimension in tuned.space:
            planner.require_possible(tuned, dimension, images)
    return goal, models, request


def _metric(asked: Asked, ready: Prepared) -> tuple[str, Direction, Request]:
    """Return the metric to tune, its direction, and the request with it among the metrics of the final cells."""
    catalogue, request = ready.catalogue, asked.request
    directions = {name: entry.spec.direction for name, entry in catalogue.metrics.items()}
    if not asked.metric:
        single = [name for name in _applicable(ready.plan.cells) if directions[name] != "each"]
        if not single:
            raise UsageError("No metric with a single value applies to all of these models.", "Choose one: --metric.")
        name = usual_metric(single)
        return name, single_value_direction("metric", name, single, directions), request
    found = [spec.name for spec in ready.planner(replace(request, metrics=(asked.metric,))).metrics]
    if len(found) > 1:
        raise UsageError(f"The metric '{asked.metric}' is ambiguous.", f"Choose from: {', '.join(found)}.")
    (name,) = found
    direction = single_value_direction("metric", name, found, directions)
    measured = [spec.name for spec in ready.planner(request).metrics]
    if name not in measured:
        request = replace(request, metrics=(*measured, name))
    return name, direction, request


def _applicable(cells: Sequence[PlannedCell]) -> list[str]:
    """Return the metrics that every cell has."""
    return [name for name in cells[0].identity.metrics if all(name in cell.identity.metrics for cell in cells)]


def _campaign(
    out: Path,
    stored: TuningRecord,
    goal: Goal,
    models: Sequence[TunedModel],
    request: Request,
    ready: Prepared,
    trials: RunDirectory,
    output: Output,
) -> Tuning:
    """Make the missing trials, then the final cells."""
    journal = Journal(out / JOURNAL)
    kept = [rung.trials for rung in goal.rungs]
    searches = [
        Search(one, ModelStudy(journal, one.model, one.space, goal.direction, goal.sampler, goal.seed, kept))
        for one in models
    ]
    limits = {name: getattr(request, name) or None for name in LIMITS if getattr(request, name) is not None}
    record = msgspec.structs.replace(trials.record, **limits)
    display = output.display
    executor = executor_of_run(ready.executor, trials, record, ready.catalogue, ready.device, output)
    where = Surroundings(trials, record, ready.catalogue, executor, display, ready.device)
    planner = TrialPlanner(request, models, goal.metric, ready.catalogue, ready.planner)

    def save(studies: list[Study], finished: bool = False) -> None:
        _write(out / TUNING, encode(msgspec.structs.replace(stored, studies=studies, finished=finished)))

    campaign = Campaign(goal, searches, planner, where, save)
    try:
        with stop_on_signals(executor), contextlib.closing(executor):
            display.run_started(sum(kept) * len(searches), out)
            campaign.execute()
    finally:
        display.close()
    best = {search.tuned.model: found for search in searches if (found := campaign.best_point(search)) is not None}
    studies = campaign.studies()
    save(studies)
    if not best:
        raise NoDataError(
            f"No trial of any model has a value of {goal.metric}.",
            f"See why: {out / TUNING}, and the logs in {out / TRIALS / 'logs'}.",
        )
    points = {model: trial.point for model, trial in best.items()}
    for name, text in best_plans(request, models, points, stored.final_seeds).items():
        _write(out / name, text.encode())
    if stored.final_seeds:
        cells = [
            cell
            for one in models
            if one.model in points
            for cell in planner.final_cells(one, points[one.model], stored.final_seeds)
        ]
        _run_final(out, cells, request, ready, record, stored, output)
        studies = [_with_final(study, out / FINAL, goal.metric) for study in studies]
    save(studies, finished=True)
    made = read_tuning(out)
    _write(out / "table.md", tuning_markdown(made).encode())
    return Tuning(out, made)


def _run_final(
    out: Path,
    cells: list[PlannedCell],
    request: Request,
    ready: Prepared,
    limits: RunRecord,
    stored: TuningRecord,
    output: Output,
) -> None:
    """Execute the final cells as a run of their own, which has the table, report and everything else of a run."""
    path = out / FINAL
    if (path / "run.json").is_file():
        run = RunDirectory.open_unpacked(path)
        flags = {"timeout": limits.timeout or 0, "memory_limit": limits.memory_limit, "threads": limits.threads}
        allowed = Allowed([*request.plugins])
        record, catalogue, device = reopen_run(run, {**flags, "reporters": None}, allowed, output.notify)
    else:
        plan = Plan(
            profile=ready.plan.profile,
            cells=cells,
            references=plan_references([cell for cell in cells if not cell.reason]),
            plugins=third_party_plugins(ready.catalogue, cells),
        )
        catalogue, device = ready.catalogue, ready.device
        run, record = create_run(
            replace(request, out=str(path)), plan, [], device, ready.facts, ready.chosen_executor, stored.command
        )
    with hold(run.record_path):
        finished = execute(ready.executor, run, record, catalogue, device, output)
    if finished.interruption is not None:
        raise finished.interruption


def _with_final(study: Study, path: Path, metric: str) -> Study:
    """Return the study with the values of its final cells."""
    try:
        found = samples_of_runs([RunDirectory.open(path).read()], [metric])
    except (NoDataError, UsageError):  # nothing has this metric
        return study
    own = [sample for sample in found if sample.model == study.model]
    if len(own) != 1:  # none has a value, or they are not comparable
        return study
    mean, error = mean_and_error([*own[0].values.values()])
    final = FinalValue(seeds=len(own[0].values), mean=mean, standard_error=error, left_out=[*own[0].left_out])
    return msgspec.structs.replace(study, final=final)


def _open_trials(out: Path, request: Request, ready: Prepared) -> RunDirectory:
    """Return the run of the trials; create it where this is the first command."""
    path = out / TRIALS
    if (path / "run.json").is_file():
        return RunDirectory.open_unpacked(path)
    empty = replace(ready.plan, cells=[], references=[], targets=[], swept=[])
    run, _ = create_run(replace(request, out=str(path)), empty, [], ready.device, ready.facts, ready.chosen_executor)
    return run


def _record(asked: Asked, goal: Goal, command: Sequence[str]) -> TuningRecord:
    first = asked.seed + asked.trials
    return TuningRecord(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        genbench=__version__,
        command=list(command),
        request=_fixed(asked.request),
        search=dict(asked.search),
        metric=goal.metric,
        direction=goal.direction,
        sampler=asked.sampler,  # type: ignore[arg-type]
        pruner=asked.pruner,  # type: ignore[arg-type]
        trials=asked.trials,
        rungs=[(rung.images, rung.trials) for rung in goal.rungs],
        seed=asked.seed,
        final_seeds=list(range(first, first + asked.final_seeds)),
    )


def _fixed(request: Request) -> dict[str, Any]:
    """Return what a request fixes for all cells, as plain data."""
    data: dict[str, Any] = _as_json(replace(request, out=None))
    return {name: value for name, value in data.items() if name not in (*LIMITS, "out")}


def _asked_of(out: Path, stored: TuningRecord) -> Asked:
    """Return what was asked; raise `UsageError` if the record states something impossible."""
    try:
        request = msgspec.convert(stored.request, Request)
    except msgspec.ValidationError as error:
        raise UsageError(f"{out / TUNING} is damaged: request: {error}.", "Restore it from a copy.") from error
    return Asked(
        request, stored.search, str(out / TUNING), stored.trials, stored.metric, stored.sampler, stored.pruner,
        stored.seed, len(stored.final_seeds),
    )  # fmt: skip


def _stored(out: Path, asked: Asked) -> TuningRecord | None:
    """Return the record of the tuning in this directory, None if there is none.

    Raises `UsageError` if something else was asked then, or if the directory holds other files.
    """
    kind = path_kind(out / TUNING)
    if kind == "missing":
        if path_kind(out) not in ("missing", "directory") or (out.is_dir() and any(out.iterdir())):
            raise UsageError(f"{out} is not empty and is not a tuning.", "Choose another --out.")
        return None
    stored = read_tuning(out)
    before, now = _terms(stored), _terms(asked)
    differing = [name for name in now if before[name] != now[name]]
    if differing:
        name = differing[0].replace("_", "-")
        raise UsageError(
            f"{out} holds a tuning with another value of {name}.",
            f"Go on with it: genbench tune --resume {shlex.quote(str(out))}, or choose another --out.",
        )
    return stored


def _as_json(value: object) -> Any:
    """Return plain data as it is after writing and reading it."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _terms(tuning: TuningRecord | Asked) -> dict[str, Any]:
    """Return what must agree for a command to go on with a tuning."""
    fixed = _fixed(tuning.request) if isinstance(tuning, Asked) else tuning.request
    seeds = tuning.final_seeds
    return {
        **{name: fixed.get(name) for name in sorted(_fixed(Request()))},
        "search": _as_json(tuning.search),
        **{name: getattr(tuning, name) for name in ("trials", "sampler", "pruner", "seed")},
        "final_seeds": seeds if isinstance(seeds, int) else len(seeds),
    }


def _create(out: Path, record: TuningRecord) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        create_file(out / TUNING, encode(record))
    except FileExistsError:
        raise UsageError(f"Another command has begun a tuning in {out}.", "Choose another --out.") from None
    except OSError as error:
        raise UsageError(f"Cannot write {out}: {error.strerror or error}.", "Choose another --out.") from error


def _write(path: Path, data: bytes) -> None:
    try:
        atomic_write(path, data)
    except OSError as error:
        raise UsageError(
            f"Cannot write {path}: {error.strerror or error}.",
            f"Free some space or make it writable, then: genbench tune --resume {shlex.quote(str(path.parent))}",
        ) from error


@contextmanager
def _running(out: Path) -> Iterator[None]:
    """Hold the lock of a tuning, and name the command to go on with where it is interrupted."""
    journal = out / JOURNAL
    journal.touch()
    try:
        with hold(journal):
            yield
    except (Interrupted, KeyboardInterrupt):
        raise TuningInterrupted(out) from None
    except CannotWriteResults as error:
        cure = f"Free some space or fix the permissions, then: genbench tune --resume {shlex.quote(str(out))}"
        raise CannotWriteResults(error.cause, f"Earlier results are safe. {cure}") from error


@contextmanager
def _interruption_raised() -> Iterator[None]:
    try:
        yield
    except TuningInterrupted as error:
        raise RunInterrupted(error.path, "genbench.tune(resume={!r})") from None


def _require_count(flag: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(f"--{flag} {value!r} is not a whole number from {least:,} to {most:,}.")


def _require_one_of_each(request: Request) -> None:
    """Raise `UsageError` for a request with several cells per model: the trials of a model form one study."""
    several = {
        "datasets": len(request.datasets),
        "losses": len(request.losses),
        "precision": len(request.precision),
        "nproc": len(request.nproc),
        **{name.replace("_", "-"): len(values) for name, values in request.sweep.items()},
        "variants": len(request.variants) + 1,
    }
    for name, count in several.items():
        if count > 1:
            raise UsageError(
                f"tune makes one study of each model, so it takes one value of {name}.",
                "Put settings to try into the search space, and tune other datasets and losses in runs of their own.",
            )
    if request.seeds != (0,):
        raise UsageError("tune chooses the training seeds.", "Give --seed for the first of them, and --final-seeds.")


def _default_path(models: Sequence[str]) -> str:
    time = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    name = "-".join(models[:4]) + ("-etc" if len(models) > 4 else "")
    return str(Path("results") / f"{time}-tune-{name}")
