"""Executing a run: every cell that has no final result yet, one after another."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shlex
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any, Protocol

from genbench.api.recipe import resolve_recipe
from genbench.errors import ExitCode, GenbenchError, UsageError
from genbench.measure.machine import default_threads
from genbench.planning.default_extractors import extractor_choices
from genbench.planning.planner import names_in_use, plugins_behind
from genbench.plugins.catalogue import Catalogue
from genbench.plugins.loader import Kind, Plugin
from genbench.process.messages import (
    Activity,
    Job,
    Measured,
    Message,
    Progress,
)
from genbench.process.oom_kills import kernel_memory_kills
from genbench.results.cell_names import shown_names
from genbench.results.environment_variables import CHECKPOINT_SECONDS, seconds_from
from genbench.results.schema import CellResult, PlannedCell, PlannedReference, RunRecord, Status
from genbench.results.store import RunDirectory
from genbench.runner import log_file
from genbench.runner.executor import Executor
from genbench.runner.worker_monitor import WorkerExit
from genbench.trackers.dispatch import Trackers

FINAL: tuple[Status, ...] = ("ok", "diverged", "collapsed", "skipped")  # a resumed run does not repeat these

SAVED_EVERY = 30.0  # seconds between checkpoints; GENBENCH_CHECKPOINT_SECONDS changes it


class Display(Protocol):
    """What the supervisor reports to the user."""

    def cell_started(self, index: int, total: int, label: str, steps: int) -> None:
        """A cell starts."""

    def cell_activity(self, text: str) -> None:
        """What the cell is doing now."""

    def cell_progress(self, step: int, images_per_second: float, terms: dict[str, float], seconds_left: float) -> None:
        """A window has been trained."""

    def cell_finished(self, result: CellResult) -> None:
        """A cell has a result."""

    def message(self, text: str) -> None:
        """Anything else worth a line."""


class Interrupted(GenbenchError):
    """The user pressed Ctrl-C or sent SIGTERM; everything finished so far is on disk."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, run: RunDirectory) -> None:
        super().__init__("Interrupted.", f"Go on with: {command_to_resume(run)}")
        self.run = run


class CannotWriteResults(GenbenchError):
    """A result could not be written; the run cannot go on, and what it has written stays."""

    exit_code = ExitCode.FAILED_CELLS


# Ctrl-C; `kill` and batch systems; the end of the terminal; the warning of a batch system before its time limit.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


def stop_on_signals(executor: Executor) -> AbstractContextManager[None]:
    """Meanwhile the signals in `STOP_SIGNALS` ask the executor to stop; a second one raises KeyboardInterrupt."""

    def handle(number: int, frame: FrameType | None) -> None:
        if executor.stop_requested:
            raise KeyboardInterrupt
        executor.request_stop()

    return _handled(handle)


def interrupt_on_signals() -> AbstractContextManager[None]:
    """Meanwhile each of the signals in `STOP_SIGNALS` raises KeyboardInterrupt, as Ctrl-C does."""
    return _handled(signal.default_int_handler)


@contextlib.contextmanager
def _handled(handle: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python delivers signals to the main thread
        yield
        return
    # nohup and some batch systems have a signal ignored: it stays so.
    handled = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in handled}
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
        catalogue: Catalogue,
        executor: Executor,
        display: Display,
        device: str,
        trackers: Trackers | None = None,
    ) -> None:
        self.trackers = trackers or Trackers()
        self.run_directory, self.record, self.executor, self.display = run, record, executor, display
        self.catalogue, self.device = catalogue, device
        self.checkpoint_seconds = seconds_from(CHECKPOINT_SECONDS, SAVED_EVERY, zero=True)
        self.names = shown_names(record.cells)

    def execute(self) -> None:
        """Execute what has no final result yet. Results are kept on disk only: memory use stays flat over many cells.

        Raises `Interrupted`, and `CannotWriteResults` where a result cannot be written.
        """
        self.executor.on_stopping = lambda: self.display.message(
            "stopping: the cell saves its state; press Ctrl-C again to stop at once"
        )
        self._remove_leftovers()
        done = {id for id, found in self.run_directory.read_cells().results.items() if found.status in FINAL}
        pending = [cell for cell in self.record.cells if cell.id not in done]
        for cell in pending:
            if cell.reason:
                self._write_result(skipped(cell))
        possible = [cell for cell in pending if not cell.reason]
        self.trackers.send_event("run_started", pending=[cell.id for cell in possible])
        self._measure_references()
        for index, cell in enumerate(possible, start=1):
            self._raise_if_stopped()
            self._execute_cell(cell, index, len(possible))
        self._raise_if_stopped()

    def _execute_cell(self, cell: PlannedCell, index: int, total: int) -> None:
        self.display.cell_started(index, total, self.names[cell.id], expected_steps(cell))
        self.trackers.send_event("cell_started", cell.id, index=index, total=total, steps=expected_steps(cell))
        log = self.run_directory.log_path(cell.id)
        job = self._job(names_in_use(cell.identity), task="cell", log=str(log), cell=cell)
        kills_before = kernel_memory_kills()
        worker_exit = self.executor.run(job, lambda message: self._handle(cell, message), self.record.timeout)
        log_file.shorten(log)
        if worker_exit.finished is not None and worker_exit.finished.cell is not None and not worker_exit.stopped:
            result = worker_exit.finished.cell
        elif self.executor.stop_requested:
            raise Interrupted(self.run_directory)
        else:
            result = self._unfinished(cell, worker_exit, kernel_killed=kernel_memory_kills() > kills_before)
        self._write_result(result)
        self.trackers.send_event("cell_finished", cell.id)

    def _unfinished(self, cell: PlannedCell, worker_exit: WorkerExit, kernel_killed: bool) -> CellResult:
        """Return the result of a cell whose worker ended without one."""
        log = self.run_directory.log_path(cell.id)
        status: Status = "failed"
        reason = f"{worker_exit.describe()}; see {log}"
        if worker_exit.timed_out:
            status = "timeout"
            reason = (
                f"not done within {self.record.timeout:g} s; use `--resume` with a longer --timeout to go on with it"
            )
        elif kernel_killed and worker_exit.status is not None and os.WTERMSIG(worker_exit.status) == signal.SIGKILL:
            status, reason = "oom", "the system ran out of memory and killed the worker; use a smaller --batch-size"
        return CellResult(
            id=cell.id, identity=cell.identity, status=status, reason=reason, synthetic_data=cell.synthetic_data
        )

    def _write_result(self, result: CellResult) -> None:
        try:
            self.run_directory.write_cell(result)
        except (OSError, UsageError) as error:
            cause = error.cause if isinstance(error, UsageError) else str(error)
            raise CannotWriteResults(
                f"The result of {result.id} is lost. {cause}",
                "Earlier results are safe. Free some space or fix the permissions, then: "
                f"{command_to_resume(self.run_directory)}",
            ) from error
        if result.status in FINAL:
            with contextlib.suppress(OSError):
                self.run_directory.resume_path(result.id).unlink(missing_ok=True)
        self.display.cell_finished(result)

    def _measure_references(self) -> None:
        measured = self.run_directory.read_references().results
        for planned in self.record.references:
            self._raise_if_stopped()
            if planned.id not in measured:
                self._measure_reference(planned)

    def _measure_reference(self, planned: PlannedReference) -> None:
        for choice in extractor_choices(planned):
            self.display.message(choice)
        self.display.message(f"measuring real held-out images and noise of {planned.dataset.name}")
        log = self.run_directory.log_path(f"reference-{planned.id}")
        names: list[tuple[Kind, str]] = [("datasets", planned.dataset.name), *(("metrics", m) for m in planned.metrics)]
        job = self._job(names, task="reference", log=str(log), reference=planned)
        worker_exit = self.executor.run(job, self._show_activity, self.record.timeout)
        self.display.cell_activity("")
        log_file.shorten(log)
        if worker_exit.finished is not None and worker_exit.finished.reference is not None:
            for used in worker_exit.finished.reference.extractors:
                if used.seconds is not None:
                    self.display.message(f"{used.distance} was ready after {used.seconds:.0f} s, apart from the cells")
            try:
                self.run_directory.write_reference(worker_exit.finished.reference)
            except UsageError as error:  # the cells matter more than the reference rows
                self.display.message(f"no reference rows for {planned.dataset.name}: {error.cause}")
        elif not self.executor.stop_requested:
            self.display.message(f"no reference rows for {planned.dataset.name}: {worker_exit.describe()}; see {log}")

    def _job(self, names: Sequence[tuple[Kind, str]], **fields: object) -> Job:
        """Return a job that uses these names: its worker imports no plugin of another cell, which might patch torch."""
        return Job(
            run=str(self.run_directory.path),
            plugins=[dataclasses.asdict(plugin) for plugin in plugins_behind(self.catalogue, names)],
            device=self.device,
            threads=self.record.threads or default_threads(),
            memory_limit=self.record.memory_limit,
            rendezvous=self.record.rendezvous,
            checkpoint_seconds=self.checkpoint_seconds,
            **fields,  # type: ignore[arg-type]
        )

    def _show_activity(self, message: Message) -> None:
        if isinstance(message, Activity):
            self.display.cell_activity(message.text)

    def _handle(self, cell: PlannedCell, message: Message) -> None:
        """Pass a worker's message to the display and the trackers, while the worker waits for the answer."""
        log_file.shorten(self.run_directory.log_path(cell.id))
        self._show_activity(message)
        if isinstance(message, Progress):
            terms = {name: value for name, value in message.terms.items() if value is not None}
            shown = {name: terms[name] for name in message.shown if name in terms}
            self.display.cell_progress(message.step, message.images_per_second, shown, message.seconds_left)
            self.trackers.send_event(
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
            self.trackers.send_event("evaluated", cell.id, **point)

    def _remove_leftovers(self) -> None:
        """Remove incomplete files of processes that were killed while writing."""
        for path in self.run_directory.path.glob("*/.*.tmp"):
            with contextlib.suppress(OSError):
                path.unlink()

    def _raise_if_stopped(self) -> None:
        if self.executor.stop_requested:
            raise Interrupted(self.run_directory)


def command_to_resume(run: RunDirectory) -> str:
    """Return the command that finishes a run."""
    return f"genbench run --resume {shlex.quote(str(run.path))}"


def ask_devices(executor: Executor, wanted: str = "all", count: int = 1) -> dict[str, object]:
    """Return `accelerator.devices(wanted, count)` of a worker; raise `UsageError` if torch does not work."""
    job = Job(task="devices", device=wanted, processes=count)
    worker_exit = executor.run(job, lambda message: None, timeout=120)
    if worker_exit.finished is None or worker_exit.finished.facts is None:
        raise UsageError(
            f"torch does not start: {worker_exit.describe()}.",
            'Try: python -c "import torch; torch.zeros(1)" to see why.',
        )
    return worker_exit.finished.facts


def estimate(
    executor: Executor, cell: PlannedCell, plugins: Sequence[Plugin], device: str, threads: int | None
) -> dict[str, Any] | str:
    """Return the estimated cost of a cell, empty if it took too long; or, as text, why the cell would fail."""
    job = Job(
        task="estimate",
        cell=cell,
        plugins=[dataclasses.asdict(plugin) for plugin in plugins],
        device=device,
        threads=threads or default_threads(),
    )
    worker_exit = executor.run(job, lambda message: None, timeout=60)
    if worker_exit.finished is not None and worker_exit.finished.facts is not None:
        return worker_exit.finished.facts
    return {} if worker_exit.timed_out else worker_exit.describe()


def skipped(cell: PlannedCell) -> CellResult:
    """Return the result of a cell that cannot be executed."""
    return CellResult(
        id=cell.id, identity=cell.identity, status="skipped", reason=cell.reason, synthetic_data=cell.synthetic_data
    )


def expected_steps(cell: PlannedCell) -> int:
    """Return the number of steps in the budget as far as the plan knows; a plugin's family may count differently."""
    recipe = resolve_recipe(cell.identity.recipe)
    repeats = recipe.discriminator_steps if cell.identity.family.name == "adversarial" else 1
    return max(1, -(-recipe.images // (recipe.batch_size * repeats)))
