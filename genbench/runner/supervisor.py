"""Executing a run: every cell that has no result yet, one after another, each in a process of its own."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import signal
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, Protocol

from genbench.api.recipe import resolve_recipe
from genbench.errors import ExitCode, GenbenchError, UsageError
from genbench.measure.machine import default_threads
from genbench.plugins.loader import Plugin
from genbench.process.messages import (
    Activity,
    Job,
    Measured,
    Message,
    Progress,
)
from genbench.process.oom_kills import kernel_memory_kills
from genbench.results.cell_names import shown_names
from genbench.results.schema import CellResult, PlannedCell, PlannedReference, RunRecord, Status
from genbench.results.store import RunDirectory
from genbench.runner.pool import WorkerPool
from genbench.runner.worker_monitor import WorkerExit
from genbench.trackers.dispatch import Trackers

FINAL: tuple[Status, ...] = ("ok", "diverged", "collapsed", "skipped")  # a resumed run does not repeat these

CHECKPOINT_SECONDS = 30.0  # training is saved this often; GENBENCH_CHECKPOINT_SECONDS changes it


class Display(Protocol):
    """What the supervisor tells whoever is watching."""

    def cell_started(self, index: int, total: int, label: str, steps: int) -> None:
        """A cell begins."""

    def cell_activity(self, text: str) -> None:
        """What it does now."""

    def cell_progress(self, step: int, images_per_second: float, terms: dict[str, float], seconds_left: float) -> None:
        """A window has been trained."""

    def cell_finished(self, result: CellResult) -> None:
        """A cell has a result."""

    def message(self, text: str) -> None:
        """Something else worth a line."""


class Interrupted(GenbenchError):
    """Somebody pressed Ctrl-C or sent SIGTERM; everything finished so far is on disk."""

    exit_code = ExitCode.INTERRUPTED


class CannotWriteResults(GenbenchError):
    """A result could not be written; the run cannot go on, and what it has written stays."""

    exit_code = ExitCode.FAILED_CELLS


@contextlib.contextmanager
def stop_on_signals(pool: WorkerPool) -> Iterator[None]:
    """While this lasts, SIGINT and SIGTERM ask the pool to stop; a second one ends this process at once."""

    def handle(number: int, frame: FrameType | None) -> None:
        if pool.stop_requested:
            raise KeyboardInterrupt
        pool.request_stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Supervisor:
    """Executes the cells of a run directory."""

    def __init__(
        self,
        run: RunDirectory,
        record: RunRecord,
        plugins: Sequence[Plugin],
        pool: WorkerPool,
        display: Display,
        device: str,
        trackers: Trackers | None = None,
    ) -> None:
        self.trackers = trackers or Trackers()
        self.run_directory, self.record, self.pool, self.display = run, record, pool, display
        self.plugins = [dataclasses.asdict(plugin) for plugin in plugins]
        self.device = device
        self.names = shown_names(record.cells)

    def execute(self) -> None:
        """Execute what has no final result yet. Results go to disk and are not kept: memory stays flat over many cells.

        Raises `Interrupted`, and `CannotWriteResults` where a result cannot be written.
        """
        self.pool.on_stopping = lambda: self.display.message("stopping: the cell saves its state; Ctrl-C again ends it")
        self._remove_leftovers()
        done = {id for id, found in self.run_directory.read_cells().results.items() if found.status in FINAL}
        pending = [cell for cell in self.record.cells if cell.id not in done]
        for cell in pending:
            if cell.reason:
                self._keep(skipped(cell))
        possible = [cell for cell in pending if not cell.reason]
        self.trackers.tell("run_started", pending=[cell.id for cell in possible])
        self._measure_references()
        for index, cell in enumerate(possible, start=1):
            self._leave_if_asked()
            self._execute_cell(cell, index, len(possible))
        self._leave_if_asked()

    def _execute_cell(self, cell: PlannedCell, index: int, total: int) -> None:
        self.display.cell_started(index, total, self.names[cell.id], expected_steps(cell))
        self.trackers.tell("cell_started", cell.id, index=index, total=total, steps=expected_steps(cell))
        job = self._job(task="cell", log=str(self.run_directory.log_path(cell.id)), cell=cell)
        kills_before = kernel_memory_kills()
        ending = self.pool.run(job, lambda message: self._take(cell, message), self.record.timeout)
        if ending.finished is not None and ending.finished.cell is not None:
            result = ending.finished.cell
        elif self.pool.stop_requested:
            raise self.interrupted()
        else:
            result = self._unfinished(cell, ending, kernel_killed=kernel_memory_kills() > kills_before)
        self._keep(result)
        self.trackers.tell("cell_finished", cell.id)

    def _unfinished(self, cell: PlannedCell, ending: WorkerExit, kernel_killed: bool) -> CellResult:
        """Return the result of a cell whose worker did not live to tell."""
        log = self.run_directory.log_path(cell.id)
        status: Status = "failed"
        reason = f"{ending.describe()}; see {log}"
        if ending.timed_out:
            status = "timeout"
            reason = f"not done within {self.record.timeout:g} s; `--resume` with a longer --timeout goes on with it"
        elif kernel_killed and ending.status is not None and os.WTERMSIG(ending.status) == signal.SIGKILL:
            status, reason = "oom", "the system ran out of memory and ended the worker; use a smaller --batch-size"
        return CellResult(
            id=cell.id, identity=cell.identity, status=status, reason=reason, synthetic_data=cell.synthetic_data
        )

    def _keep(self, result: CellResult) -> None:
        try:
            self.run_directory.write_cell(result)
        except (OSError, UsageError) as error:
            cause = error.cause if isinstance(error, UsageError) else str(error)
            raise CannotWriteResults(
                f"The result of {result.id} is lost. {cause}",
                f"Everything before it is safe. Make room, or make it writable, then: {self.command_to_resume}",
            ) from error
        if result.status in FINAL:
            with contextlib.suppress(OSError):
                self.run_directory.resume_path(result.id).unlink(missing_ok=True)
        self.display.cell_finished(result)

    def _measure_references(self) -> None:
        there = self.run_directory.read_references().results
        for planned in self.record.references:
            self._leave_if_asked()
            if planned.id not in there:
                self._measure_reference(planned)

    def _measure_reference(self, planned: PlannedReference) -> None:
        self.display.message(f"measuring real held-out images and noise of {planned.dataset.name}")
        log = self.run_directory.log_path(f"reference-{planned.id}")
        job = self._job(task="reference", log=str(log), reference=planned)
        ending = self.pool.run(job, lambda message: None, self.record.timeout)
        if ending.finished is not None and ending.finished.reference is not None:
            try:
                self.run_directory.write_reference(ending.finished.reference)
            except UsageError as error:  # a scale to read by; the cells are worth more
                self.display.message(f"no reference rows for {planned.dataset.name}: {error.cause}")
        elif not self.pool.stop_requested:
            self.display.message(f"no reference rows for {planned.dataset.name}: {ending.describe()}; see {log}")

    def _job(self, **fields: object) -> Job:
        return Job(
            run=str(self.run_directory.path),
            plugins=self.plugins,
            device=self.device,
            threads=self.record.threads or default_threads(),
            memory_limit=self.record.memory_limit,
            rendezvous=self.record.rendezvous,
            checkpoint_seconds=float(os.environ.get("GENBENCH_CHECKPOINT_SECONDS", CHECKPOINT_SECONDS)),
            **fields,  # type: ignore[arg-type]
        )

    def _take(self, cell: PlannedCell, message: Message) -> None:
        """Show and tell what a worker says, while it waits for its answer."""
        if isinstance(message, Activity):
            self.display.cell_activity(message.text)
        elif isinstance(message, Progress):
            terms = {name: value for name, value in message.terms.items() if value is not None}
            shown = {name: terms[name] for name in message.shown if name in terms}
            self.display.cell_progress(message.step, message.images_per_second, shown, message.seconds_left)
            self.trackers.tell(
                "window_finished",
                cell.id,
                step=message.step,
                images=message.images,
                images_per_second=message.images_per_second,
                terms=terms,
                warmup=message.warmup,
            )
        elif isinstance(message, Measured):
            point = {"step": message.step, "images": message.images, "estimates": message.estimates}
            self.trackers.tell("evaluated", cell.id, **point)

    def _remove_leftovers(self) -> None:
        """Remove half-written files of processes that were killed while they wrote."""
        for path in self.run_directory.path.glob("*/.*.tmp"):
            with contextlib.suppress(OSError):
                path.unlink()

    def _leave_if_asked(self) -> None:
        if self.pool.stop_requested:
            raise self.interrupted()

    def interrupted(self) -> Interrupted:
        """Return the error that says how to go on."""
        return Interrupted("Interrupted.", f"Go on with: {self.command_to_resume}")

    @property
    def command_to_resume(self) -> str:
        """What a user types to finish this run."""
        return f"genbench run --resume {shlex.quote(str(self.run_directory.path))}"


def ask_devices(pool: WorkerPool) -> dict[str, object]:
    """Return what torch says of this machine's devices; raises `UsageError` where torch itself does not work."""
    ending = pool.run(Job(task="devices"), lambda message: None, timeout=120)
    if ending.finished is None or ending.finished.facts is None:
        raise UsageError(
            f"torch does not start: {ending.describe()}.", 'Try: python -c "import torch; torch.zeros(1)" to see why.'
        )
    return ending.finished.facts


def estimate(
    pool: WorkerPool, cell: PlannedCell, plugins: Sequence[Plugin], device: str, threads: int | None
) -> dict[str, Any] | str:
    """Return the estimated cost of a cell; or, as text, why it would fail; or nothing, where it answers too slowly."""
    job = Job(
        task="estimate",
        cell=cell,
        plugins=[dataclasses.asdict(plugin) for plugin in plugins],
        device=device,
        threads=threads or default_threads(),
    )
    ending = pool.run(job, lambda message: None, timeout=60)
    if ending.finished is not None and ending.finished.facts is not None:
        return ending.finished.facts
    return {} if ending.timed_out else ending.describe()


def skipped(cell: PlannedCell) -> CellResult:
    """Return the result of a cell that is impossible."""
    return CellResult(
        id=cell.id, identity=cell.identity, status="skipped", reason=cell.reason, synthetic_data=cell.synthetic_data
    )


def expected_steps(cell: PlannedCell) -> int:
    """Return how many steps the budget makes, as far as the plan knows: a plugin's family may have its own way."""
    recipe = resolve_recipe(cell.identity.recipe)
    repeats = recipe.discriminator_steps if cell.identity.family.name == "adversarial" else 1
    return max(1, -(-recipe.images // (recipe.batch_size * repeats)))
