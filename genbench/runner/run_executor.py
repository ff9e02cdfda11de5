"""What the supervisor needs of an executor: the one that is built in, or one of a plugin in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import msgspec

from genbench.api.jobs import JobState
from genbench.process.messages import Finished, Job, Message
from genbench.results.schema import CellResult
from genbench.runner.jobs.schedule import Attempt
from genbench.runner.worker_monitor import WorkerExit
from genbench.system.signals import is_kill

Receive: TypeAlias = Callable[[str, Message], None]  # token of a job, and a message of its worker


class TrialJob(msgspec.Struct, frozen=True):
    """What a job does that tries an executor out, in place of a cell: it sleeps, then ends."""

    seconds: float
    status: int = 0  # 0: it delivers an outcome; positive: its exit status; negative: the signal that kills it


@dataclass(frozen=True)
class Submission:
    """A job to submit."""

    attempt: Attempt
    label: str  # for people
    job: Job
    timeout: float | None  # seconds
    trial: TrialJob | None = None  # in place of `job`, to try an executor out
    estimate: float | None = None  # as in `Resources`
    extensions: int = 0  # likewise


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How the worker of a job ended."""

    finished: Finished | None = None
    stopped: bool = False  # as it was asked to
    timed_out: bool = False
    out_of_memory: bool = False  # the kernel killed it
    how: str = ""  # why there is no result
    notes: list[str] = []  # what readers of its result must know

    def describe(self) -> str:
        """Return why there is no result."""
        return self.finished.failure if self.finished is not None and self.finished.failure else self.how


def marked(result: CellResult, mark: str, note: str) -> CellResult:
    """Return the result of a cell whose speed is comparable only to that of others with the same mark."""
    known = result.comparability
    if known is not None:
        disturbed = " and ".join(filter(None, (known.disturbed, mark)))
        known = msgspec.structs.replace(known, disturbed=disturbed)
    return msgspec.structs.replace(result, comparability=known, notes=[*result.notes, note])


def was_killed(worker_exit: WorkerExit) -> bool:
    """Return whether a worker was killed by SIGKILL, as the kernel does for lack of memory."""
    return is_kill(worker_exit.status)


def outcome_of(worker_exit: WorkerExit, out_of_memory: bool) -> Outcome:
    """Return the outcome of a worker; `out_of_memory`: the kernel killed it for lack of memory."""
    return Outcome(
        finished=worker_exit.finished,
        stopped=worker_exit.stopped,
        timed_out=worker_exit.timed_out,
        out_of_memory=out_of_memory,
        how=worker_exit.describe(),
    )


class RunExecutor(Protocol):
    """Executes jobs of a run, several at a time. A job is named by the token of its attempt."""

    capacity: int  # jobs that may be submitted at the same time
    threads: int  # of a job, if the user does not choose them
    limits_time: bool  # whether an engine limits the times of jobs by their estimates
    on_message: Receive  # called with the messages of the workers, in `wait` or `poll`
    on_stopping: Callable[[], None]  # called once a job was asked to stop and saves its state

    @property
    def stop_requested(self) -> bool:
        """Whether the jobs were asked to stop."""

    def problems(self, submissions: Sequence[Submission]) -> list[str]:
        """Return for each job why it can never run, or an empty string."""

    def adopted(self) -> Sequence[Attempt]:
        """Return the jobs that an earlier process has submitted and that may still run."""

    def next_attempts(self) -> Mapping[str, int]:
        """Return the numbers of the attempts for which tasks wait, as an earlier process has noted them."""

    def note_next(self, attempt: Attempt, number: int) -> None:
        """Note that the task of an attempt waits for the one with this number, if another process goes on with it."""

    def submit(self, submissions: Sequence[Submission]) -> int:
        """Submit jobs in order; return how many were taken."""

    def wait(self) -> None:
        """Sleep until something may have changed."""

    def poll(self) -> dict[str, JobState]:
        """Return the states of all submitted jobs that are not forgotten."""

    def outcome(self, token: str) -> Outcome:
        """Return the outcome of a finished job."""

    def forget(self, token: str) -> None:
        """Accept nothing more of a job."""

    def cancel(self, tokens: Sequence[str]) -> None:
        """Ask jobs to end."""

    def request_stop(self) -> None:
        """Ask the jobs to save their state and stop; safe to call from a signal handler."""
