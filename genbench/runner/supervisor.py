"""Executing a run: every cell that has no final result yet."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import secrets
import shlex
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, TypeAlias

import msgspec

from genbench.api.jobs import JobState
from genbench.api.recipe import resolve_recipe
from genbench.errors import ExitCode, GenbenchError, UsageError
from genbench.measure.machine import default_threads
from genbench.planning.default_extractors import extractor_choices
from genbench.planning.identity import step_key
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
from genbench.results.cell_names import shown_names
from genbench.results.environment_variables import CHECKPOINT_SECONDS, seconds_from
from genbench.results.failure_codes import WORKER_LOST
from genbench.results.saved_step import saved_step
from genbench.results.schema import CellResult, PlannedCell, PlannedReference, RunRecord, Status
from genbench.results.store import RunDirectory
from genbench.runner import log_file
from genbench.runner.job_runner import JobRunner
from genbench.runner.jobs.remaining_time import RemainingTime, Share
from genbench.runner.jobs.schedule import Attempt, Schedule
from genbench.runner.run_executor import Outcome, RunExecutor, Submission
from genbench.system.signals import STOP_SIGNALS
from genbench.trackers.dispatch import Trackers

Task: TypeAlias = PlannedCell | PlannedReference

FINAL: tuple[Status, ...] = ("ok", "diverged", "collapsed", "skipped")  # a resumed run does not repeat these

MOST_EXTENSIONS = 6  # jobs of a cell that an engine's time limit ends, of which each next one gets more time
PENDING_SECONDS = 10.0  # that jobs wait for the same reason until it is said
SAVED_EVERY = 30.0  # seconds between checkpoints; GENBENCH_CHECKPOINT_SECONDS changes it


class Display(Protocol):
    """What the supervisor reports to the user; `cell` is the id of one of the cells that run now."""

    def cell_started(self, cell: str, index: int, total: int, label: str, steps: int) -> None:
        """A cell starts."""

    def cell_activity(self, cell: str, text: str) -> None:
        """What the cell is doing now; without a cell, what the run is doing."""

    def cell_progress(
        self, cell: str, step: int, images_per_second: float, terms: dict[str, float], seconds_left: float
    ) -> None:
        """A window has been trained."""

    def cell_finished(self, result: CellResult) -> None:
        """A cell has a result."""

    def plan_progress(self, finished: int, total: int, left: str) -> None:
        """How many of all cells have ended, and how long the rest takes; called for several cells only."""

    def message(self, text: str) -> None:
        """Anything else worth a line."""


class Stoppable(Protocol):
    """What a signal asks to stop."""

    @property
    def stop_requested(self) -> bool:
        """Whether it was asked to."""

    def request_stop(self) -> None:
        """Ask it to stop; safe to call from a signal handler."""


class Interrupted(GenbenchError):
    """The user pressed Ctrl-C or sent SIGTERM; everything finished so far is on disk."""

    exit_code = ExitCode.INTERRUPTED
    code = "GB511"

    def __init__(self, run: RunDirectory) -> None:
        super().__init__("Interrupted.", f"Go on with: {command_to_resume(run)}")
        self.run = run


class CannotWriteResults(GenbenchError):
    """A result could not be written; the run cannot go on, and what it has written stays."""

    exit_code = ExitCode.FAILED_CELLS
    code = "GB702"


def stop_on_signals(executor: Stoppable) -> AbstractContextManager[None]:
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
    """Executes the cells of a run directory.

    It decides which jobs are submitted, when one is tried again and what becomes of its outcome; where and how jobs run
    is the executor's business.
    """

    def __init__(
        self,
        run: RunDirectory,
        record: RunRecord,
        catalogue: Catalogue,
        executor: RunExecutor,
        display: Display,
        device: str,
        trackers: Trackers | None = None,
        clock: Callable[[], float] = time.monotonic,
        names: Mapping[str, str] | None = None,
        made_once: bool = False,
        tried: Mapping[bytes, float] | None = None,
    ) -> None:
        """Without `names`, by id, cells are shown under those that tell apart the ones in `record`.

        Cells that are `made_once`, as trials are, are not repeated by --resume, whatever their status.
        `tried`: seconds per image of kinds of cells (`step_key`), for executors that limit the times of jobs.
        """
        self._made_once = made_once
        self._clock = clock
        self._tried: dict[Hashable, float] = {hash(key): seconds for key, seconds in (tried or {}).items()}
        self._extensions: Counter[str] = Counter()  # by task: jobs that the engine's time limit ended
        self.trackers = trackers or Trackers()
        self.run_directory, self.record, self.executor, self.display = run, record, executor, display
        self.catalogue, self.device = catalogue, device
        self.checkpoint_seconds = seconds_from(CHECKPOINT_SECONDS, SAVED_EVERY, zero=True)
        self.names = shown_names(record.cells) if names is None else names
        self._tasks: dict[str, Task] = {}  # by name: first the reference rows, then the cells
        self._schedule = Schedule((), _new_token)
        self._started: set[str] = set()  # tokens of jobs that were seen to run
        self._lost: dict[str, list[str]] = {}  # by task: why its earlier jobs were lost
        self._pending: dict[str, float] = {}  # why jobs wait -> since when, or infinity once it was said
        self._positions: dict[str, int] = {}  # of the cells, from 1
        self._remaining = RemainingTime({}, clock)
        self._estimated = -math.inf  # when the time that is left was last shown

    def execute(self) -> None:
        """Execute what has no final result yet. Results are kept on disk only: memory use stays flat over many cells.

        Raises `Interrupted`, and `CannotWriteResults` where a result cannot be written.
        """
        self.executor.on_message = self._receive
        self.executor.on_stopping = lambda: self.display.message(
            "stopping: the cell saves its state; press Ctrl-C again to stop at once"
        )
        self._remove_leftovers()
        done = {id for id, status in self.run_directory.read_statuses().items() if status in FINAL}
        pending = [cell for cell in self.record.cells if cell.id not in done]
        for cell in pending:
            if cell.reason:
                self._write_result(skipped(cell))
        possible = [cell for cell in pending if not cell.reason]
        self._positions = {cell.id: index for index, cell in enumerate(possible, start=1)}
        self._remaining = RemainingTime({cell.id: _share(cell) for cell in possible}, self._clock, self._tried)
        self.trackers.send_event("run_started", pending=[cell.id for cell in possible])
        self._tasks = {f"reference-{planned.id}": planned for planned in self._missing_references()}
        self._tasks |= {cell.id: cell for cell in possible}
        self._schedule = Schedule(self._tasks, _new_token, self.executor.next_attempts())
        self._require_possible(possible)
        self._execute_tasks()
        if self.executor.stop_requested:
            raise Interrupted(self.run_directory)

    def _execute_tasks(self) -> None:
        """Submit jobs and handle their ends until nothing is left to do."""
        schedule, stopping = self._schedule, False
        for attempt in self.executor.adopted():
            if not schedule.adopt(attempt):
                self.executor.cancel([attempt.token])
                self.executor.forget(attempt.token)
        while not schedule.done:
            if self.executor.stop_requested and not stopping:
                stopping = True
                schedule.stop()
                self.executor.cancel([*schedule.submitted])
            self._submit()
            if not self._handle_states():
                self.executor.wait()

    def _require_possible(self, cells: Sequence[PlannedCell]) -> None:
        """Raise `UsageError` for a cell that needs what the executor can never provide, before any is submitted."""
        kinds = {(resolve_recipe(cell.identity.recipe).processes, self._estimate(cell.id)): cell for cell in cells}
        submissions = [self._submission(Attempt("", cell.id, 1)) for cell in kinds.values()]
        for cell, problem in zip(kinds.values(), self.executor.problems(submissions), strict=True):
            if problem:
                raise UsageError(
                    f"{self.names[cell.id]} cannot be executed: {problem}",
                    f"Then go on with: {command_to_resume(self.run_directory)}",
                    code="GB901",
                )

    def _submit(self) -> None:
        attempts = self._schedule.take(self.executor.capacity)
        if attempts:
            taken = self.executor.submit([self._submission(attempt) for attempt in attempts])
            self._schedule.put_back(attempts[taken:])

    def _handle_states(self) -> bool:
        """Handle the present states of the jobs; return whether one has ended."""
        ended = False
        states = self.executor.poll()
        self._say_why_pending(states.values())
        for token, state in states.items():
            attempt = self._schedule.submitted.get(token)
            if attempt is None:  # known before: a state that arrives twice
                self.executor.forget(token)
                continue
            if state.state in ("running", "finished"):
                self._note_start(attempt)
            if state.state in ("pending", "running"):
                continue
            ended = True
            if state.state == "finished":
                self._schedule.end(token)
                self._handle_outcome(attempt, self.executor.outcome(token))
            else:
                self._handle_loss(attempt, state)
            self.executor.forget(token)
        return ended

    def _say_why_pending(self, states: Iterable[JobState]) -> None:
        """Say each reason of the engine for which jobs wait, once, if they still do after a while."""
        now = self._clock()
        for reason, jobs in Counter(state.reason for state in states if state.state == "pending").items():
            if reason and now - self._pending.setdefault(reason, now) >= PENDING_SECONDS:
                self._pending[reason] = math.inf
                self.display.message(f"{jobs} {'job waits' if jobs == 1 else 'jobs wait'} to start: {reason}")

    def _note_start(self, attempt: Attempt) -> None:
        """Show, once, that a job has started."""
        if attempt.token in self._started:
            return
        self._started.add(attempt.token)
        task = self._tasks[attempt.task]
        if isinstance(task, PlannedReference):
            for choice in extractor_choices(task):
                self.display.message(choice)
            self.display.message(f"measuring real held-out images and noise of {task.dataset.name}")
            return
        self._remaining.start(task.id)
        index, total, steps = self._positions[task.id], len(self._positions), expected_steps(task)
        self.display.cell_started(task.id, index, total, self.names[task.id], steps)
        self.trackers.send_event("cell_started", task.id, index=index, total=total, steps=steps)

    def _handle_outcome(self, attempt: Attempt, outcome: Outcome) -> None:
        """Write the result of a task, or nothing where its job was stopped before it had one."""
        task = self._tasks[attempt.task]
        log_file.shorten(self._log(attempt.task))
        if isinstance(task, PlannedReference):
            self._write_reference(attempt, task, outcome)
            return
        if outcome.finished is not None and outcome.finished.cell is not None and not outcome.stopped:
            self._finish(task, outcome.finished.cell, outcome.notes)
        elif not self.executor.stop_requested:
            self._finish(task, self._unfinished(task, outcome), outcome.notes)

    def _handle_loss(self, attempt: Attempt, state: JobState) -> None:
        """Try a task again whose job was lost; otherwise its result says why there is none."""
        reason = state.reason or f"its job is {state.state}"
        task = self._tasks[attempt.task]
        label = f"reference rows of {task.dataset.name}" if isinstance(task, PlannedReference) else self.names[task.id]
        if state.state == "lost" and not self.executor.stop_requested:
            self._lost.setdefault(attempt.task, []).append(reason)
            self._extensions[attempt.task] += state.timed_out
            more_time = state.timed_out and self._extensions[attempt.task] <= MOST_EXTENSIONS
            if number := self._schedule.lose(attempt.token, self._got_on(attempt) or more_time):
                self.executor.note_next(attempt, number)
                self.display.message(f"{label}: {reason}; it is tried again")
                return
            reason = f"{reason} (attempt {attempt.number} of {attempt.number})"
        else:
            self._schedule.end(attempt.token)
        if self.executor.stop_requested:
            if not self._got_on(attempt):
                self.executor.note_next(attempt, attempt.number)  # to be stopped is not to be lost
            return
        if state.state == "cancelled":
            reason = f"its job was cancelled: {reason}; use --resume to run it again"
        if isinstance(task, PlannedReference):
            self.display.message(f"no {label}: {reason}")
        else:
            self._note_start(attempt)
            self._finish(task, failed(task, reason), [])

    def _got_on(self, attempt: Attempt) -> bool:
        """Return whether a lost job has saved more of its training than the run has, and accept nothing more of it."""
        path = self.run_directory.resume_path(attempt.task)
        before = saved_step(path)
        self.executor.forget(attempt.token)  # moves what it has saved to the run directory
        return saved_step(path) > before

    def _finish(self, cell: PlannedCell, result: CellResult, notes: Sequence[str]) -> None:
        """Write the result of a cell with notes on its jobs, and report it."""
        lost = [f"an earlier job of this cell was lost: {reason}" for reason in self._lost.pop(cell.id, [])]
        self._write_result(msgspec.structs.replace(result, notes=[*result.notes, *notes, *lost]))
        self.trackers.send_event("cell_finished", cell.id)

    def _unfinished(self, cell: PlannedCell, outcome: Outcome) -> CellResult:
        """Return the result of a cell whose worker ended without one."""
        status: Status = "timeout" if outcome.timed_out else "oom" if outcome.out_of_memory else "failed"
        return failed(cell, self._why_unfinished(outcome, cell.id), status)

    def _why_unfinished(self, outcome: Outcome, task: str) -> str:
        if outcome.timed_out:
            longer = "use `--resume` with a longer --timeout to continue it"
            if self._made_once:
                longer = "it counts as a trial without a value; a new tuning can have a longer --timeout"
            return f"not done within {self.record.timeout:g} s; {longer}"
        if outcome.out_of_memory:
            return "the system ran out of memory and killed the worker; use a smaller --batch-size"
        return f"{outcome.describe()}; see {self._log(task)}"

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
        self._remaining.end(result.id, measured=result.status in ("ok", "collapsed"))
        self._show_remaining(pause=0.0)

    def _show_remaining(self, pause: float = 1.0) -> None:
        """Show how long the whole plan still takes, unless that was shown less than `pause` seconds ago."""
        remaining, now = self._remaining, self._clock()
        if remaining.finished < remaining.total > 1 and now - self._estimated >= pause:
            self._estimated = now
            left = remaining.left(self.executor.capacity).text()
            self.display.plan_progress(remaining.finished, remaining.total, left)

    def _missing_references(self) -> list[PlannedReference]:
        measured = self.run_directory.read_references().results
        return [planned for planned in self.record.references if planned.id not in measured]

    def _write_reference(self, attempt: Attempt, planned: PlannedReference, outcome: Outcome) -> None:
        self.display.cell_activity("", "")
        if outcome.finished is not None and outcome.finished.reference is not None:
            for used in outcome.finished.reference.extractors:
                if used.seconds is not None:
                    self.display.message(f"{used.distance} was ready after {used.seconds:.0f} s, apart from the cells")
            try:
                self.run_directory.write_reference(outcome.finished.reference)
            except UsageError as error:  # the cells matter more than the reference rows
                self.display.message(f"no reference rows for {planned.dataset.name}: {error.cause}")
        elif not self.executor.stop_requested:
            why = self._why_unfinished(outcome, attempt.task)
            self.display.message(f"no reference rows for {planned.dataset.name}: {why}")

    def _log(self, task: str) -> Path:
        return self.run_directory.log_path(task)

    def _submission(self, attempt: Attempt) -> Submission:
        task, log = self._tasks[attempt.task], str(self._log(attempt.task))
        if isinstance(task, PlannedReference):
            names: list[tuple[Kind, str]] = [("datasets", task.dataset.name), *(("metrics", m) for m in task.metrics)]
            job = self._job(names, task="reference", log=log, reference=task)
            return Submission(attempt, attempt.task, job, self.record.timeout)
        job = self._job(names_in_use(task.identity), task="cell", log=log, cell=task)
        return Submission(
            attempt,
            self.names[task.id],
            job,
            self.record.timeout,
            estimate=self._estimate(task.id),
            extensions=min(self._extensions[task.id], MOST_EXTENSIONS),
        )

    def _estimate(self, cell: str) -> float | None:
        return self._remaining.whole(cell) if self.executor.limits_time else None

    def _job(self, names: Sequence[tuple[Kind, str]], **fields: object) -> Job:
        """Return a job that uses these names: its worker imports no plugin of another cell, which might patch torch."""
        return Job(
            run=str(self.run_directory.path),
            plugins=[dataclasses.asdict(plugin) for plugin in plugins_behind(self.catalogue, names)],
            device=self.device,
            threads=self.record.threads or self.executor.threads,
            memory_limit=self.record.memory_limit,
            rendezvous=self.record.rendezvous,
            checkpoint_seconds=self.checkpoint_seconds,
            **fields,  # type: ignore[arg-type]
        )

    def _receive(self, token: str, message: Message) -> None:
        """Pass a worker's message to the display and the trackers, while the worker waits for the answer."""
        attempt = self._schedule.submitted.get(token)
        if attempt is None:
            return
        self._note_start(attempt)
        task = self._tasks[attempt.task]
        if isinstance(task, PlannedReference):
            if isinstance(message, Activity):
                self.display.cell_activity("", message.text)
            return
        log_file.shorten(self._log(task.id))
        if isinstance(message, Activity):
            self.display.cell_activity(task.id, message.text)
        elif isinstance(message, Progress):
            self._report_progress(task, message)
        elif isinstance(message, Measured):
            point = {"step": message.step, "images": message.images, "estimates": message.estimates}
            self.trackers.send_event("evaluated", task.id, **point)

    def _report_progress(self, cell: PlannedCell, message: Progress) -> None:
        terms = {name: value for name, value in message.terms.items() if value is not None}
        shown = {name: terms[name] for name in message.shown if name in terms}
        self.display.cell_progress(cell.id, message.step, message.images_per_second, shown, message.seconds_left)
        self._remaining.train(cell.id, message.seconds_left, message.images)
        self._show_remaining()
        self.trackers.send_event(
            "window_finished",
            cell.id,
            step=message.step,
            images=message.images,
            images_per_second=message.images_per_second,
            terms=terms,
            warmup=message.warmup,
        )

    def _remove_leftovers(self) -> None:
        """Remove incomplete files of processes that were killed while writing."""
        for path in self.run_directory.path.glob("*/.*.tmp"):
            with contextlib.suppress(OSError):
                path.unlink()


def command_to_resume(run: RunDirectory) -> str:
    """Return the command that finishes a run."""
    return f"genbench run --resume {shlex.quote(str(run.path))}"


def ask_devices(executor: JobRunner, wanted: str = "all", count: int = 1) -> dict[str, object]:
    """Return `accelerator.devices(wanted, count)` of a worker; raise `UsageError` if torch does not work."""
    job = Job(task="devices", device=wanted, processes=count)
    worker_exit = executor.run(job, lambda message: None, timeout=120)
    if worker_exit.finished is None or worker_exit.finished.facts is None:
        raise UsageError(
            f"torch does not start: {worker_exit.describe()}.",
            'Try: python -c "import torch; torch.zeros(1)" to see why.',
            code="GB401",
        )
    return worker_exit.finished.facts


def estimate(
    executor: JobRunner, cell: PlannedCell, plugins: Sequence[Plugin], device: str, threads: int | None
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


def _new_token() -> str:
    return secrets.token_hex(8)


def failed(cell: PlannedCell, reason: str, status: Status = "failed") -> CellResult:
    """Return the result of a cell that has none of its own."""
    return CellResult(
        id=cell.id,
        identity=cell.identity,
        status=status,
        reason=reason,
        code=WORKER_LOST if status == "failed" else "",
        synthetic_data=cell.synthetic_data,
    )


def skipped(cell: PlannedCell) -> CellResult:
    """Return the result of a cell that cannot be executed."""
    return failed(cell, cell.reason, "skipped")


def _share(cell: PlannedCell) -> Share:
    """Return what decides the time of a cell; the hash of its kind, because a plan may have thousands."""
    return Share(hash(step_key(cell.identity)), resolve_recipe(cell.identity.recipe).images)


def expected_steps(cell: PlannedCell) -> int:
    """Return the number of steps in the budget as far as the plan knows; a plugin's family may count differently."""
    recipe = resolve_recipe(cell.identity.recipe)
    repeats = recipe.discriminator_steps if cell.identity.family.name == "adversarial" else 1
    return max(1, -(-recipe.images // (recipe.batch_size * repeats)))
