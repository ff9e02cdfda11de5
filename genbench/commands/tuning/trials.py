"""Making a tuning: trials in equal numbers, then the final cells; or going on with one."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from genbench import __version__
from genbench.commands.execution import (
    Output,
    create_run,
    enter_planning_directory,
    execute,
    executor_of_run,
    reopen_run,
)
from genbench.commands.preparation import Prepared, prepared, require_unicode
from genbench.commands.tuning.asked import LIMITS, Asked, asked_again, fixed_settings, terms
from genbench.commands.tuning.goal import goal_of
from genbench.commands.tuning.tuning import Tuning
from genbench.errors import ExitCode, GenbenchError, NoDataError, UsageError
from genbench.gate.samples import samples_of_runs
from genbench.planning.planner import Plan, plan_references, third_party_plugins
from genbench.planning.request import Request
from genbench.plugins.recorded_files import Allowed, loadable_files
from genbench.report.summary import write_summary
from genbench.report.tuning import tuning_markdown
from genbench.results.files import atomic_write, create_file, encode
from genbench.results.input_files import path_kind
from genbench.results.run_lock import hold
from genbench.results.schema import PlannedCell, RunRecord
from genbench.results.store import RunDirectory
from genbench.results.tuning import FINAL, JOURNAL, TRIALS, TUNING, FinalValue, Study, TuningRecord, read_tuning
from genbench.runner.job_runner import JobRunner
from genbench.runner.supervisor import CannotWriteResults, Interrupted, stop_on_signals
from genbench.stats.intervals import mean_and_error
from genbench.tuning.best_settings import best_plans
from genbench.tuning.campaign import Campaign, Goal, Search, Surroundings
from genbench.tuning.study import Journal, ModelStudy, require_optuna
from genbench.tuning.trial_cells import TrialPlanner, TunedModel


class TuningInterrupted(GenbenchError):
    """The user interrupted a tuning; every finished trial is kept."""

    exit_code = ExitCode.INTERRUPTED
    code = "GB511"

    def __init__(self, path: Path) -> None:
        super().__init__("Interrupted.", f"Go on with: genbench tune --resume {shlex.quote(str(path))}")
        self.path = path


def start_tuning(asked: Asked, executor: JobRunner, output: Output, command: Sequence[str]) -> Tuning:
    """Make a tuning, or go on with that in the same directory if the same was asked; return what came of it.

    Raises `UsageError`, and `TuningInterrupted`.
    """
    require_optuna()
    out = Path(asked.request.out or _default_path(asked.request.models)).expanduser()
    require_unicode("--out", str(out))
    stored = _stored(out, asked)
    with prepared(asked.request, executor, output.notify) as ready:
        goal, models, request = goal_of(asked, ready)
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
    asked = asked_again(out, stored)
    if not (out / TRIALS / "run.json").is_file():
        raise UsageError(f"{out} has no trial yet.", "Remove it, and start the tuning again.", code="GB709")
    with enter_planning_directory(RunDirectory.open_unpacked(out / TRIALS)) as trials:
        changed = {name: value for name, value in limits.items() if value is not None}
        plugins = tuple(loadable_files(trials.record, allowed))
        request = replace(asked.request, plugins=plugins, **changed)
        request = request if weights is None else replace(request, weights=str(weights))
        with prepared(request, executor, output.notify) as ready:
            goal, models, request = goal_of(replace(asked, request=request), ready)
            out = trials.path.parent
            with _running(out):
                return _campaign(out, stored, goal, models, request, ready, trials, output)


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
    if (out / FINAL / "run.json").is_file():
        write_summary(RunDirectory.open_unpacked(out / FINAL))  # its report has the finished studies
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
        request=fixed_settings(asked.request),
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


def _stored(out: Path, asked: Asked) -> TuningRecord | None:
    """Return the record of the tuning in this directory, None if there is none.

    Raises `UsageError` if something else was asked then, or if the directory holds other files.
    """
    kind = path_kind(out / TUNING)
    if kind == "missing":
        if path_kind(out) not in ("missing", "directory") or (out.is_dir() and any(out.iterdir())):
            raise UsageError(f"{out} is not empty and is not a tuning.", "Choose another --out.", code="GB705")
        return None
    stored = read_tuning(out)
    before, now = terms(stored), terms(asked)
    differing = [name for name in now if before[name] != now[name]]
    if differing:
        name = differing[0].replace("_", "-")
        raise UsageError(
            f"{out} holds a tuning with another value of {name}.",
            f"Go on with it: genbench tune --resume {shlex.quote(str(out))}, or choose another --out.",
            code="GB706",
        )
    return stored


def _create(out: Path, record: TuningRecord) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        create_file(out / TUNING, encode(record))
    except FileExistsError:
        raise UsageError(
            f"Another command has begun a tuning in {out}.", "Choose another --out.", code="GB707"
        ) from None
    except OSError as error:
        raise UsageError(
            f"Cannot write {out}: {error.strerror or error}.", "Choose another --out.", code="GB702"
        ) from error


def _write(path: Path, data: bytes) -> None:
    try:
        atomic_write(path, data)
    except OSError as error:
        raise UsageError(
            f"Cannot write {path}: {error.strerror or error}.",
            f"Free some space or make it writable, then: genbench tune --resume {shlex.quote(str(path.parent))}",
            code="GB702",
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


def _default_path(models: Sequence[str]) -> str:
    time = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    name = "-".join(models[:4]) + ("-etc" if len(models) > 4 else "")
    return str(Path("results") / f"{time}-tune-{name}")
