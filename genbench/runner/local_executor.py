"""The built-in executor: cells run on this machine, in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from genbench.api.executors import JobState
from genbench.measure.machine import default_threads
from genbench.process.messages import Job
from genbench.process.oom_kills import kernel_memory_kills
from genbench.runner.job_runner import JobRunner
from genbench.runner.pool import WorkerPool
from genbench.runner.run_executor import Outcome, Receive, Submission, outcome_of, was_killed
from genbench.runner.schedule import Attempt
from genbench.runner.worker_monitor import WorkerExit, WorkerMonitor, wait_for_messages


@dataclass
class _Place:
    """Where one cell at a time runs, and the job that is there."""

    runner: JobRunner
    submission: Submission | None = None
    monitor: WorkerMonitor | None = None
    kills_before: int = 0  # processes that the kernel had killed for lack of memory


class LocalExecutor:
    """Runs jobs on this machine: each in a worker of its own, or in this process."""

    def __init__(self, runner: JobRunner) -> None:
        self._runner = runner
        self._places = [_Place(runner)]
        self._outcomes: dict[str, Outcome] = {}
        self.on_message: Receive = lambda token, message: None
        self.on_stopping: Callable[[], None] = lambda: None
        runner.on_stopping = lambda: self.on_stopping()
        self.capacity = len(self._places)
        self.threads = default_threads()

    @property
    def stop_requested(self) -> bool:
        """Whether the jobs were asked to stop."""
        return self._runner.stop_requested

    def problems(self, jobs: Sequence[Job], timeout: float | None) -> list[str]:
        """Return nothing for each: the plan was made for this machine."""
        return [""] * len(jobs)

    def adopted(self) -> Sequence[Attempt]:
        """Return nothing: jobs end with the process that has submitted them."""
        return []

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
        """Kill the workers that still run."""
        for place in self._places:
            if place.monitor is not None:
                place.monitor.end()

    def _receiver(self, submission: Submission) -> Callable[..., None]:
        return lambda message: self.on_message(submission.attempt.token, message)

    def _begin(self, place: _Place, submission: Submission) -> None:
        place.submission, place.kills_before = submission, kernel_memory_kills()
        if isinstance(place.runner, WorkerPool):
            begun = place.runner.begin(submission.job, self._receiver(submission), submission.timeout)
            if isinstance(begun, WorkerExit):
                self._end(place, begun)
            else:
                place.monitor = begun

    def _end(self, place: _Place, worker_exit: WorkerExit) -> None:
        assert place.submission is not None
        out_of_memory = was_killed(worker_exit) and kernel_memory_kills() > place.kills_before
        self._outcomes[place.submission.attempt.token] = outcome_of(worker_exit, out_of_memory)
        place.submission = place.monitor = None
