"""The built-in executor: cells run on this machine, in worker processes, one at a time or several side by side.

Cells side by side get equal, separate parts of the processors and of the memory. Those that share a device, or the
processors on which they train, take turns: one at a time trains, while others load or evaluate. With the timing
'shared' they do not wait for each other. Either is stated in their results: their speed is not that of a cell alone.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from genbench.api.jobs import JobState
from genbench.api.recipe import resolve_recipe
from genbench.errors import UsageError
from genbench.measure.machine import available_bytes, default_threads, usable_processors
from genbench.process.messages import Finished
from genbench.results.schema import PlannedCell
from genbench.runner.job_runner import JobRunner
from genbench.runner.jobs.job_folder import FOLDER
from genbench.runner.jobs.schedule import Attempt
from genbench.runner.pool import WorkerPool
from genbench.runner.run_executor import Outcome, Receive, Submission, marked, outcome_of, was_killed
from genbench.runner.worker_monitor import WorkerExit, WorkerMonitor, wait_for_messages
from genbench.system.locks import FileLock
from genbench.system.oom_kills import kernel_memory_kills

_SHARE_OF_MEMORY = 0.9  # of the available memory, divided among cells that train on the CPU

TURNS = "turns"
NOTES = {  # by the value of `Comparability.disturbed`
    "turns": "other cells loaded or evaluated while it trained (--timing turns): its speed is not that of a cell alone",
    "parallel": "other cells trained beside it (--timing shared): its speed is not that of a cell alone",
}


@dataclass(frozen=True)
class Sharing:
    """How cells share this machine: the options of `local`."""

    parallel: int = 0  # cells at the same time; 0: one for each device
    devices: Sequence[str] = ()  # empty: the device of the run
    timing: str = TURNS

    @property
    def places(self) -> int:
        """The number of cells at the same time."""
        return self.parallel or len(self.devices) or 1

    def require_possible(
        self, cells: Sequence[PlannedCell], device: str, threads: int | None, in_process: bool
    ) -> None:
        """Raise `UsageError` where these cells cannot run side by side in this way on this machine."""
        kind = device.partition(":")[0]
        other = next((name for name in self.devices if name.partition(":")[0] != kind), None)
        if other is not None:
            raise UsageError(
                f"The device '{other}' is not of the run's type '{kind}'.", f"Use --devices {other}.", code="GB104"
            )
        if self.places == 1:
            return
        if in_process:
            raise UsageError(
                "--in-process runs one cell at a time.", "Remove --in-process and --pdb, or --parallel.", code="GB104"
            )
        if any(resolve_recipe(cell.identity.recipe).processes > 1 for cell in cells if not cell.reason):
            raise UsageError(
                "Cells that several processes train run one at a time.", "Remove --nproc or --parallel.", code="GB104"
            )
        _shares(self.places, threads)


@dataclass
class _Place:
    """Where one cell at a time runs, and the job that is there."""

    runner: JobRunner
    device: str = ""  # empty: the job's
    turn: str = ""  # lock file of the places that share its device or processors; empty: none do
    sharing: int = 1  # places that share it
    mark: str = ""  # what `Comparability.disturbed` says of a cell that was not alone
    submission: Submission | None = None
    monitor: WorkerMonitor | None = None
    kills_before: int = 0  # processes that the kernel had killed for lack of memory
    alone: bool = True  # no other cell has run since the job began


class LocalExecutor:
    """Runs jobs on this machine.

    Args:
        runner: executes jobs in the first place; it is used for other work before the run.
        run: the run directory.
        device: of the run.
        sharing: how many cells run at the same time, and where.
        threads: of each cell, as the user has chosen; None: equal parts of the processors.
    """

    def __init__(
        self, runner: JobRunner, run: Path, device: str, sharing: Sharing | None = None, threads: int | None = None
    ) -> None:
        sharing = sharing or Sharing()
        self._runner, self._run = runner, run
        self._outcomes: dict[str, Outcome] = {}
        self.on_message: Receive = lambda token, message: None
        self.on_stopping: Callable[[], None] = lambda: None
        devices = [*sharing.devices] or [device]
        self.capacity, self.limits_time = sharing.places, False
        shares = _shares(self.capacity, threads)
        self.threads = default_threads() if self.capacity == 1 else max(1, len(shares[0]))
        self._memory = _memory_share(self.capacity, device)
        self._places = [
            self._place(number, devices, sharing, frozenset(share) if self.capacity > 1 else None)
            for number, share in enumerate(shares)
        ]
        for place in self._places:
            place.runner.on_stopping = self._report_stopping
        self._stopping_reported = False

    def _place(self, number: int, devices: Sequence[str], sharing: Sharing, share: frozenset[int] | None) -> _Place:
        runner = self._runner if number == 0 else WorkerPool()
        if self.capacity > 1:
            assert isinstance(runner, WorkerPool)
            runner.processors = share
        used = Counter(devices[i % len(devices)] for i in range(self.capacity))
        place = _Place(runner, device=devices[number % len(devices)] if sharing.devices else "")
        place.sharing = used[devices[number % len(devices)]]
        if place.sharing > 1:
            place.mark = "turns" if sharing.timing == TURNS else "parallel"
            if sharing.timing == TURNS:
                place.turn = str(self._turn_file(devices[number % len(devices)]))
        return place

    def _turn_file(self, device: str) -> Path:
        """Return the lock file of the cells that share a device; raise `UsageError` where there are no locks."""
        path = self._run.resolve() / FOLDER / f"turn-{device.replace(':', '-')}.lock"
        path.parent.mkdir(exist_ok=True)
        with FileLock(path, create=True) as lock:
            try:
                lock.take()
            except OSError as error:
                raise UsageError(
                    f"Cells cannot take turns: {path} cannot be locked ({error.strerror or error}).",
                    "Use --timing shared, or an --out on another file system.",
                    code="GB702",
                ) from error
        return path

    @property
    def stop_requested(self) -> bool:
        """Whether the jobs were asked to stop."""
        return self._runner.stop_requested

    def problems(self, submissions: Sequence[Submission]) -> list[str]:
        """Return nothing for each: the plan was made for this machine."""
        return [""] * len(submissions)

    def adopted(self) -> Sequence[Attempt]:
        """Return nothing: jobs end with the process that has submitted them."""
        return []

    def next_attempts(self) -> Mapping[str, int]:
        """Return nothing: no job is lost."""
        return {}

    def note_next(self, attempt: Attempt, number: int) -> None:
        """Do nothing."""

    def submit(self, submissions: Sequence[Submission]) -> int:
        """Start jobs in the places that are free; return how many."""
        free = [place for place in self._places if place.submission is None]
        for place, submission in zip(free, submissions, strict=False):
            self._begin(place, submission)
        return min(len(free), len(submissions))

    def wait(self) -> None:
        """Sleep until a worker sends something or exits, or run the job of this process."""
        monitors = [place.monitor for place in self._places if place.monitor is not None]
        if monitors:
            wait_for_messages(monitors)
        for place in self._places:
            if place.monitor is not None and place.monitor.exited:
                place.monitor.end()
                assert isinstance(place.runner, WorkerPool)
                place.runner.ended(place.monitor)
                self._end(place, place.monitor.worker_exit())
            elif place.submission is not None and place.runner.in_process:
                job, receive = place.submission.job, self._receiver(place.submission)
                self._end(place, place.runner.run(job, receive, place.submission.timeout))

    def poll(self) -> dict[str, JobState]:
        """Return the states of the jobs."""
        running = [place.submission.attempt.token for place in self._places if place.submission is not None]
        return {token: JobState(state="running") for token in running} | {
            token: JobState(state="finished") for token in self._outcomes
        }

    def outcome(self, token: str) -> Outcome:
        """Return the outcome of a finished job."""
        return self._outcomes[token]

    def forget(self, token: str) -> None:
        """Forget a finished job."""
        self._outcomes.pop(token, None)

    def cancel(self, tokens: Sequence[str]) -> None:
        """Do nothing: `request_stop` has asked the workers to stop."""

    def request_stop(self) -> None:
        """Ask the jobs to save their state and stop."""
        for place in self._places:
            place.runner.request_stop()

    def close(self) -> None:
        """Kill the workers that still run, and remove the lock files."""
        with contextlib.ExitStack() as stack:
            for place in self._places:
                if isinstance(place.runner, WorkerPool):
                    place.runner.processors = None
                    if place.runner is not self._runner:
                        stack.callback(place.runner.close)
                if place.monitor is not None:
                    stack.callback(place.monitor.end)
        for turn in {place.turn for place in self._places if place.turn}:
            Path(turn).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                Path(turn).parent.rmdir()

    def _report_stopping(self) -> None:
        if not self._stopping_reported:
            self._stopping_reported = True
            self.on_stopping()

    def _receiver(self, submission: Submission) -> Callable[..., None]:
        return lambda message: self.on_message(submission.attempt.token, message)

    def _begin(self, place: _Place, submission: Submission) -> None:
        submission = self._adapted(place, submission)
        place.submission, place.kills_before = submission, kernel_memory_kills()
        others = [other for other in self._places if other is not place and other.submission is not None]
        place.alone = not others
        for other in others:
            other.alone = False
        if isinstance(place.runner, WorkerPool):
            begun = place.runner.begin(submission.job, self._receiver(submission), submission.timeout)
            if isinstance(begun, WorkerExit):
                self._end(place, begun)
            else:
                place.monitor = begun

    def _adapted(self, place: _Place, submission: Submission) -> Submission:
        """Return the submission for a place; the time limit allows for the turns of the others."""
        job = submission.job
        job = msgspec.structs.replace(
            job, device=place.device or job.device, memory_limit=job.memory_limit or self._memory, turn=place.turn
        )
        waits = place.sharing if place.turn else 1
        timeout = None if submission.timeout is None else submission.timeout * waits
        return replace(submission, job=job, timeout=timeout)

    def _end(self, place: _Place, worker_exit: WorkerExit) -> None:
        assert place.submission is not None
        finished = worker_exit.finished
        if place.mark and not place.alone and finished is not None and finished.cell is not None:
            cell = marked(finished.cell, place.mark, NOTES[place.mark])
            worker_exit = replace(worker_exit, finished=Finished(cell=cell))
        out_of_memory = was_killed(worker_exit) and kernel_memory_kills() > place.kills_before
        self._outcomes[place.submission.attempt.token] = outcome_of(worker_exit, out_of_memory)
        place.submission = place.monitor = None


def _shares(places: int, threads: int | None) -> list[list[int]]:
    """Return the processors of each place; raise `UsageError` if there are too few."""
    usable = sorted(usable_processors())
    needed, present = places * (threads or 1), min(len(usable), default_threads())
    if places > 1 and needed > present:
        each = "" if threads is None else f", {threads} for each"
        raise UsageError(
            f"{places} cells at a time need {needed} processors{each}; {present} are usable.",
            "Use a smaller --parallel, or fewer --threads.",
            code="GB402",
        )
    size = len(usable) // places
    return [usable[number * size : (number + 1) * size] for number in range(places)]


def _memory_share(places: int, device: str) -> float | None:
    """Return the memory limit of each of several cells on the CPU in GiB; None: the worker's own rule."""
    available = available_bytes()
    if places == 1 or device != "cpu" or available is None:
        return None
    return _SHARE_OF_MEMORY * available / places / 2**30
