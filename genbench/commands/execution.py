"""Creating, reopening and executing a run directory: the steps that `genbench.run` and `resume` share."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from genbench import __version__
from genbench.commands.device import make_rendezvous
from genbench.commands.preparation import time_limit
from genbench.commands.race_execution import run_races
from genbench.commands.results import Results
from genbench.errors import UsageError
from genbench.measure import machine
from genbench.measure.git_revision import commits
from genbench.planning.executor_choice import LOCAL, choose_executor
from genbench.planning.planner import Plan
from genbench.planning.reporters import choose_reporters
from genbench.planning.request import Request, make_request
from genbench.planning.settings import Settings, check_settings, merged
from genbench.plugins.catalogue import SINGULAR, Catalogue, discover
from genbench.plugins.chosen_metrics import changed_origins
from genbench.plugins.loader import Kind
from genbench.plugins.metric_names import estimate_directions
from genbench.plugins.recorded_files import Allowed, loadable_files, sign_plugin_files
from genbench.report.failed_metrics import failed_metrics
from genbench.report.progress import Display, QuietDisplay
from genbench.report.summary import Summary, write_summary
from genbench.report.table.layout import clean
from genbench.results.cell_names import shown_names
from genbench.results.failure_codes import METRIC_FAILED, codes_of
from genbench.results.schema import CellIdentity, Choice, Rendezvous, RunRecord
from genbench.results.store import LoadedRun, RunDirectory
from genbench.runner.job_runner import JobRunner
from genbench.runner.jobs.cost_trials import seconds_per_image
from genbench.runner.local_executor import LocalExecutor
from genbench.runner.open_executor import open_executor
from genbench.runner.plugin_executor import PluginExecutor
from genbench.runner.supervisor import FINAL, Interrupted, Supervisor, stop_on_signals
from genbench.trackers.dispatch import Trackers


def create_run(
    request: Request,
    plan: Plan,
    reporters: list[Choice],
    device: str,
    facts: dict[str, object],
    executor: Choice,
    command: list[str] | None = None,
) -> tuple[RunDirectory, RunRecord]:
    """Create the run directory and write the plan to it."""
    path = Path(request.out or _default_path(request.models))
    made_from = commits([p.distribution for p in plan.plugins if p.origin == "entry-point"], request.plugins)
    record = RunRecord(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        genbench=__version__,
        command=command or ["genbench", *sys.argv[1:]],
        directory=os.path.relpath(Path.cwd(), path.resolve()),
        profile=plan.profile.name,
        cells=plan.cells,
        references=plan.references,
        targets=plan.targets,
        swept=plan.swept,
        races=plan.races,
        reporters=reporters,
        executor=executor,
        plugin_files=[str(Path(path).expanduser().resolve()) for path in request.plugins],
        timeout=time_limit(plan, request),
        memory_limit=request.memory_limit or None,
        threads=request.threads,
        rendezvous=make_rendezvous(request),
        environment={**machine.describe(), **facts, "device": device, "commits": made_from},
    )
    record = sign_plugin_files(record)
    return RunDirectory.create(path, record), record


@contextmanager
def enter_planning_directory(run: RunDirectory) -> Iterator[RunDirectory]:
    """Change to the directory in which the plan was made, if it still exists, so that relative paths resolve.

    The run stores that directory relative to itself, so it is found even after the whole project has moved. Yields the
    same run with an absolute path.
    """
    place = run.path.resolve() / run.record.directory
    if not run.record.directory or not place.is_dir() or place.samefile(Path.cwd()):
        yield run
        return
    run = RunDirectory(run.path.resolve())
    with chdir(place):
        yield run


def reopen_run(
    run: RunDirectory, flags: dict[str, Any], allowed: Allowed, notify: Callable[[str], object]
) -> tuple[RunRecord, Catalogue, str]:
    """Return record, catalogue and device to resume a run; what determines weights must have the version of the plan.

    Reporters do not affect results: they may change, and their versions do not matter. Metrics may change too: a note
    says so, and the values of different versions have different protocols.
    """
    run.require_whole_plan()
    record = run.record
    changed = {name: flags[name] for name in ("timeout", "memory_limit", "threads") if flags.get(name) is not None}
    record = msgspec.structs.replace(record, **{k: v or None for k, v in changed.items()})
    meeting = {k: flags[f"rdzv_{k}"] for k in ("endpoint", "id") if flags.get(f"rdzv_{k}") is not None}
    if meeting.get("endpoint") or record.rendezvous:
        before_that = msgspec.to_builtins(record.rendezvous) if record.rendezvous else {}
        record = msgspec.structs.replace(record, rendezvous=Rendezvous(**{**before_that, **meeting}))
    catalogue = discover(loadable_files(record, allowed))
    before = {choice.name: choice.options for choice in record.reporters}
    names = before if flags["reporters"] is None else make_request({"reporters": flags["reporters"]}).reporters
    record = msgspec.structs.replace(
        record,
        reporters=choose_reporters(names, before, catalogue),
        executor=_executor_of(record, flags.get("executor"), flags.get("set") or {}, catalogue),
    )
    statuses = run.read_statuses()
    changed_metrics: dict[str, None] = {}
    for cell in record.cells:
        if not cell.reason:
            _require_same_versions(cell.identity, catalogue)
            if statuses.get(cell.id) not in FINAL:
                changed_metrics |= dict.fromkeys(_changed_metrics(cell.identity, catalogue))
    for note in changed_metrics:
        notify(f"Note: {clean(note)}")
    device = record.environment.get("device") or next((cell.identity.device for cell in record.cells), "cpu")
    return record, catalogue, device


def _executor_of(record: RunRecord, given: str | None, settings: Settings, catalogue: Catalogue) -> Choice:
    """Return the executor to go on with: the given one, or that of the plan, with its options and these settings."""
    before = record.executor
    name = given or (before.name if before is not None else LOCAL)
    other = next((other for other in settings if other not in (name, f"executor:{name}")), None)
    if other is not None:
        raise UsageError(
            f"--resume continues a fixed plan: --set can change options of the executor '{name}', not of '{other}'.",
            "Remove it, or start a new run.",
            code="GB108",
        )
    check_settings(settings, [catalogue.require("executors", name).spec], catalogue)
    planned = {before.name: before.options} if before is not None else {}
    return choose_executor(name, merged(planned, settings), catalogue)


def _require_same_versions(identity: CellIdentity, catalogue: Catalogue) -> None:
    chosen: dict[Kind, Choice] = {
        "models": identity.model,
        "families": identity.family,
        "losses": identity.loss,
        "datasets": identity.dataset,
    }
    found = [
        (kind, choice.name, choice.origin, catalogue.require(kind, choice.name).plugin)
        for kind, choice in chosen.items()
    ]
    found += [
        ("metrics", name, before, now)
        for name, before, now in changed_origins(identity.metric_origins, catalogue)
        # it decides which weights are kept, and when training stops
        if identity.recipe.get("best_metric") in (name, *estimate_directions(catalogue.metrics[name].spec))
    ]
    for kind, name, origin, plugin in found:
        if plugin.version != origin.version:
            raise UsageError(
                f"The {SINGULAR[kind]} '{name}' was planned with {origin.distribution} "
                f"{origin.version}, but {plugin.version} is installed: results of both would not be comparable.",
                "Install the planned version again, or start a new run.",
                code="GB207",
            )


def _changed_metrics(identity: CellIdentity, catalogue: Catalogue) -> Iterator[str]:
    """Yield a note for each metric whose plugin has changed since the plan; raise `UsageError` if one is missing."""
    for name in identity.metrics:
        catalogue.require("metrics", name)
    for name, before, now in changed_origins(identity.metric_origins, catalogue):
        yield (
            f"the metric '{name}' was planned with {before.distribution} {before.version}: cells that are not finished "
            f"are measured with {now.distribution} {now.version}, and values of both are not comparable"
        )


@contextmanager
def resumption_named(run: RunDirectory) -> Iterator[None]:
    """Turn an interruption into an error that names the command to go on with."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(run) from None


class Output(NamedTuple):
    """Where the progress of a run goes, and what must be said even where progress is not shown."""

    display: Display
    notify: Callable[[str], object]  # a line: a note on the plan, a warning

    def warn(self, text: str) -> None:
        """Say what went wrong beside the cells, where the user looks."""
        say = self.notify if isinstance(self.display, QuietDisplay) else self.display.message
        say(f"Warning: {text}")


class Finished(NamedTuple):
    """What became of a run."""

    run: RunDirectory
    summary: Summary
    succeeded: bool  # see `Results.succeeded`
    interruption: Interrupted | None
    codes: tuple[str, ...] = ()  # of what failed, for `genbench explain`


def executor_of_run(
    pool: JobRunner, run: RunDirectory, record: RunRecord, catalogue: Catalogue, device: str, output: Output
) -> LocalExecutor | PluginExecutor:
    """Open the executor that a run is executed by; it is to be closed after use."""
    chosen = record.executor or choose_executor(LOCAL, {}, catalogue)
    plugin = catalogue.require("executors", chosen.name).plugin
    return open_executor(chosen, plugin, pool, run, record, device, output.warn)


def execute(
    pool: JobRunner, run: RunDirectory, record: RunRecord, catalogue: Catalogue, device: str, output: Output
) -> Finished:
    """Execute the missing cells and write the summary, also where the user interrupts the run."""
    display = output.display
    with Trackers(output.warn) as trackers:
        interruption: Interrupted | None = None
        executor = executor_of_run(pool, run, record, catalogue, device, output)
        names = shown_names(record.cells)
        try:
            tried = _tried(run, record, catalogue, executor, device, output) if executor.limits_time else {}
        except BaseException:
            executor.close()
            raise

        def execute_cells(part: RunRecord) -> None:
            added = any(cell.id not in names for cell in part.cells)  # by a race
            own = shown_names(part.cells) | names if added else names
            Supervisor(run, part, catalogue, executor, display, device, trackers, names=own, tried=tried).execute()

        try:
            trackers.start(run, [(c, catalogue.require("reporters", c.name).plugin) for c in record.reporters])
            with stop_on_signals(executor), contextlib.closing(executor):
                display.run_started(len(record.cells), run.path)
                if record.races:
                    run_races(run, record, execute_cells, display.message)
                else:
                    execute_cells(record)
        except Interrupted as error:
            interruption = error
        finally:
            display.close()
        with suppress(KeyboardInterrupt):  # Ctrl-C: do not wait for the trackers
            trackers.end(interrupted=interruption is not None)
    run = RunDirectory(run.path)  # a race may have added cells
    contents = run.read()
    summary = write_summary(run, contents)
    for warning in summary.warnings:
        output.notify(f"Warning: {warning}")
    failures = failed_metrics(record.cells, contents.cells.results)
    for failure in failures:
        output.notify(f"Failed: {clean(failure, 2000)}")
    codes = codes_of(contents.cells.results.values()) + (METRIC_FAILED,) * bool(failures)
    return Finished(run, summary, Results([LoadedRun(run, contents)]).succeeded, interruption, codes)


def _tried(
    run: RunDirectory,
    record: RunRecord,
    catalogue: Catalogue,
    executor: LocalExecutor | PluginExecutor,
    device: str,
    output: Output,
) -> dict[bytes, float]:
    """Return `seconds_per_image` of the cells that have no final result yet."""
    done = {id for id, status in run.read_statuses().items() if status in FINAL}
    cells = [cell for cell in record.cells if not cell.reason and cell.id not in done]
    return seconds_per_image(cells, catalogue, device, record.threads or executor.threads, output.display.message)


def _default_path(models: Sequence[str]) -> Path:
    time = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    name = "-".join(models[:4]) + ("-etc" if len(models) > 4 else "")
    path = Path("results") / f"{time}-{name}"
    attempt = 1
    while path.exists():
        attempt += 1
        path = Path("results") / f"{time}-{name}-{attempt}"
    return path
