"""Checking a run that somebody else submits: the first windows of some of its cells are trained again."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from genbench import __version__
from genbench.api.recipe import resolve_recipe
from genbench.commands.device import require_device
from genbench.commands.preparation import choose_job_runner
from genbench.commands.run import Progress, line_receiver
from genbench.errors import GenbenchError, UsageError
from genbench.gate.reproduction import Repetition, Reproduction, Verdict, compare
from genbench.measure import machine
from genbench.planning.planner import names_in_use, plugins_behind
from genbench.plugins.catalogue import Catalogue, discover
from genbench.plugins.recorded_files import Allowed, loadable_files
from genbench.process.messages import Job
from genbench.report.board.checks import Check, add_check
from genbench.report.board.sources import find_sources, results_hash
from genbench.report.table.layout import clean
from genbench.report.table.outcome import COUNTING
from genbench.results.cell_names import shown_names
from genbench.results.environment_variables import require_valid
from genbench.results.schema import CellResult, PlannedCell, RunRecord
from genbench.results.store import RunDirectory
from genbench.runner.job_runner import JobRunner
from genbench.runner.supervisor import interrupt_on_signals

IMAGES = 2_048  # real images of a probe, more than two windows of most cells on a CPU
CELLS = 3  # of a run
_CONTROLS = 2
_SECONDS = 300.0  # for each repetition, as a cell of the profile smoke


@dataclasses.dataclass(frozen=True)
class RunCheck:
    """Whether the results of a run could be reproduced here."""

    path: str  # of the run
    results: str  # SHA-256 of its plan and results
    check: Check

    def __str__(self) -> str:
        return f"{clean(self.check.run)}: {self.check.verdict}: {clean(self.check.reason, 2000)}"


def check_runs(
    *runs: str | Path | Iterable[str | Path],
    checks: str | Path = "checks.json",
    cells: int = CELLS,
    trust_plugins: bool = False,
    progress: Progress = True,
    on_check: Callable[[RunCheck], object] = lambda check: None,
) -> tuple[RunCheck, ...]:
    """Train the beginnings of some cells of runs again and compare them, as `genbench board --check`.

    A run is ``reproduced``, ``differs`` or ``not checked``: bit for bit where processor and torch are those of the run,
    within the effect of rounding elsewhere. Raises `UsageError` for a path without a run.

    Args:
        runs: run directories, archives, and folders that hold them.
        checks: the file to which the verdicts are added, for `genbench.board`.
        cells: how many cells of a run are repeated.
        trust_plugins: load the plugin files that a run names, whoever made it: their code runs.
        progress: whether to show progress on standard error; a function receives it line by line.
        on_check: called with each verdict as it arrives.
    """
    if cells < 1:
        raise UsageError(f"cells = {cells} is not valid.", "It is a whole number, at least 1.")
    given = [path for one in runs for path in ([one] if isinstance(one, str | Path) else one)]
    say = line_receiver(progress)
    found = []
    for source in find_sources(given):
        digest, check = check_run(source.path, trust_plugins, cells, say)
        add_check(Path(checks).expanduser(), digest, check)
        found.append(RunCheck(str(source.path), digest, check))
        on_check(found[-1])
    return tuple(found)


def check_run(
    path: str | Path, trust_plugins: bool, most_cells: int, say: Callable[[str], object]
) -> tuple[str, Check]:
    """Train the beginnings of some cells again; return the hash of the run's results, and the verdict.

    The code of plugin files that the run names is not loaded without `trust_plugins`. Raises `UsageError` for a path
    without a run.

    Args:
        path: a run directory or an archive.
        trust_plugins: load the plugin files that the run names, whoever made it: their code runs.
        most_cells: how many cells to repeat.
        say: called with a line for each.
    """
    require_valid()
    run = RunDirectory.open(path)
    digest, contents = results_hash(run), run.read()
    names = shown_names(contents.record.cells)
    measured = [cell for cell in contents.record.cells if _status(contents.cells.results.get(cell.id)) in COUNTING]
    # Whoever submits a run cannot choose which of many cells are repeated without changing their results.
    measured.sort(key=lambda cell: hashlib.sha256(f"{digest}{cell.id}".encode()).digest())
    found: dict[str, Reproduction] = {}
    with tempfile.TemporaryDirectory(prefix="genbench-check-") as place, interrupt_on_signals():
        with choose_job_runner(False) as executor:
            executor.start()
            catalogue = _catalogue(contents.record, trust_plugins)
            probe = RunDirectory.create(Path(place) / "run", contents.record)
            for cell in measured[:most_cells]:
                stored = contents.cells.results[cell.id]
                found[cell.id] = _repeat(executor, probe, contents.record, cell, stored, catalogue)
                say(f"{names[cell.id]}: {found[cell.id].verdict}: {found[cell.id].reason}")
    verdict, reason = _verdict(found, names, len(contents.record.cells))
    return digest, Check(
        verdict=verdict,
        run=run.name,
        checked=datetime.now(UTC).isoformat(timespec="seconds"),
        genbench=__version__,
        machine=machine.processor(),
        reason=reason,
    )


def _status(result: CellResult | None) -> str:
    return result.status if result is not None else ""


def _catalogue(record: RunRecord, trust_plugins: bool) -> Catalogue:
    """Return the installed plugins; with the files of the run, if they may be loaded."""
    try:
        return discover(loadable_files(record, Allowed([], trust_plugins)))
    except UsageError:
        return discover()


def _repeat(
    executor: JobRunner,
    run: RunDirectory,
    record: RunRecord,
    cell: PlannedCell,
    stored: CellResult,
    catalogue: Catalogue,
) -> Reproduction:
    """Repeat one cell, and return the verdict on it."""
    try:
        problem = _obstacle(cell, catalogue)
        if problem:
            return Reproduction("not checked", problem)
        require_device(executor, [cell], cell.identity.device, chosen=True)
        windows = _windows(stored)
        if not windows:
            return Reproduction("not checked", "no windows are stored")
        repetitions = []
        for number in range(1 + _CONTROLS):
            repetitions.append(_run(executor, run, cell, stored, catalogue, windows, number))
            if number == 0 and compare(stored, repetitions[0], []).verdict != "differs":
                return compare(stored, repetitions[0], [])  # equal, or close: rounding needs no measurement
        return compare(stored, repetitions[0], repetitions[1:])
    except GenbenchError as error:
        return Reproduction("not checked", error.cause)


def _obstacle(cell: PlannedCell, catalogue: Catalogue) -> str:
    """Return why a cell cannot be repeated here, or ''."""
    identity = cell.identity
    recipe = resolve_recipe(identity.recipe)
    if recipe.processes > 1:
        return "several processes trained it"
    if recipe.init_from:
        return "it began with weights from a file"
    chosen = [("families", identity.family), ("models", identity.model), ("losses", identity.loss)]
    for kind, choice in [*chosen, ("datasets", identity.dataset)]:
        plugin = catalogue.require(kind, choice.name).plugin  # type: ignore[arg-type]
        if (plugin.distribution, plugin.version) != (choice.origin.distribution, choice.origin.version):
            planned = f"{choice.origin.distribution} {choice.origin.version}"
            return f"'{choice.name}' of {planned} is not what is installed here"
    return ""


def _windows(stored: CellResult) -> list[int]:
    """Return the steps of the first windows: at least two, if there are, and no more images than a probe has."""
    found: list[int] = []
    images = 0
    for window in stored.windows:
        images += window.images
        if len(found) >= 2 and images > IMAGES:
            break
        found.append(window.steps)
    return found


def _run(
    executor: JobRunner,
    run: RunDirectory,
    cell: PlannedCell,
    stored: CellResult,
    catalogue: Catalogue,
    windows: Sequence[int],
    perturbation: int,
) -> Repetition:
    bare = msgspec.structs.replace(cell.identity, metrics=(), metric_origins=msgspec.UNSET)
    planned = msgspec.structs.replace(cell, identity=bare, samplers=[])
    usable = machine.default_threads()
    asked = stored.comparability.threads if stored.comparability is not None else usable
    job = Job(
        task="repeat",
        run=str(run.path),
        log=str(run.log_path(cell.id)),
        cell=planned,
        plugins=[dataclasses.asdict(plugin) for plugin in plugins_behind(catalogue, names_in_use(bare))],
        device=cell.identity.device,
        threads=min(max(asked, 1), usable),
        windows=list(windows),
        perturbation=perturbation,
        step_options=_step_options(stored),
    )
    worker_exit = executor.run(job, lambda message: None, _SECONDS)
    if executor.stop_requested:
        raise KeyboardInterrupt
    finished = worker_exit.finished
    if finished is None or finished.facts is None:
        why = f"not done within {_SECONDS:g} s" if worker_exit.timed_out else worker_exit.describe()
        raise UsageError(f"it could not be repeated: {why}")
    return msgspec.convert(finished.facts, Repetition)


def _step_options(stored: CellResult) -> dict[str, str]:
    """Return the options that the steps were executed with, other than the defaults."""
    tuned = stored.engine.step_tuning if stored.engine is not None else None
    return tuned.chosen if tuned is not None else {}


def _verdict(found: dict[str, Reproduction], names: dict[str, str], cells: int) -> tuple[Verdict, str]:
    verdicts = [one.verdict for one in found.values()]
    if "differs" in verdicts:
        id, one = next((id, one) for id, one in found.items() if one.verdict == "differs")
        return "differs", f"{names[id]}: {one.reason}"
    if "reproduced" in verdicts:
        id, one = next((id, one) for id, one in found.items() if one.verdict == "reproduced")
        count = verdicts.count("reproduced")
        others = "" if count == len(verdicts) else f"; {len(verdicts) - count} could not be repeated"
        return (
            "reproduced",
            f"{count} of {cells} cells: {one.reason}{others}; speed and final quality were not compared",
        )
    if found:
        id, one = next(iter(found.items()))
        return "not checked", f"{names[id]}: {one.reason}"
    return "not checked", "no cell ended as ok or collapsed"
