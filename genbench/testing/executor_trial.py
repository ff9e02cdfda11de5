"""Trying an executor with jobs that only sleep and end, as the supervisor uses it."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from socket import gethostname

from genbench.api.jobs import ExecutorSetup, JobState
from genbench.errors import UsageError
from genbench.process.messages import Job
from genbench.results.store import RunDirectory
from genbench.runner.executor_process import CALL_SECONDS, ExecutorFailed, ExecutorProcess, call_seconds
from genbench.runner.jobs.job_folder import FOLDER, JobFolder
from genbench.runner.jobs.schedule import Attempt
from genbench.runner.plugin_executor import PluginExecutor
from genbench.runner.run_executor import Submission, TrialJob
from genbench.system.processes import kill
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.subject import Subject

LIMIT_SECONDS = 90.0  # for jobs of seconds to start and end, or more where calls may take more than a minute
DELIVERY_SECONDS = 2.0  # from the end of a job until its files are visible here
_LOOK_SECONDS = 0.2


def limit_seconds() -> float:
    """Return the time for jobs of seconds to start and end: an engine may start nodes first."""
    return max(LIMIT_SECONDS, LIMIT_SECONDS * call_seconds() / CALL_SECONDS)


class Trial:
    """An executor, and the jobs that were submitted to it in a temporary run directory."""

    def __init__(self, subject: Subject, place: Path) -> None:
        self._subject, self.place = subject, place
        self._numbers = iter(range(1, 1000))
        self.failures: list[str] = []
        self.ends: dict[str, JobState] = {}  # by token
        self.open()

    def open(self) -> None:
        """Create the executor, in a new process; raises `NotApplicable` where it is unavailable."""
        options = self._subject.options("executors", self._subject.spec)
        setup = ExecutorSetup(run=self.place, cells=3, call_seconds=call_seconds())
        try:
            self.process = ExecutorProcess(self._subject.name, options, self._subject.entry.plugin, setup)
        except UsageError as error:
            raise NotApplicable(f"the executor is unavailable: {error.cause}") from error
        run = RunDirectory(self.place)
        self.executor = PluginExecutor(self.process, run, self.failures.append, delivery_seconds=DELIVERY_SECONDS)

    def submit(self, *jobs: TrialJob) -> list[str]:
        """Submit jobs, waiting where the engine takes only some at a time; return their tokens in order."""
        tokens: list[str] = []
        deadline = time.monotonic() + limit_seconds()
        while len(tokens) < len(jobs):
            free = max(0, self.executor.capacity - (len(tokens) - len(self.ends)))
            offered = [self._submission(job) for job in jobs[len(tokens) :][:free]]
            taken = self.executor.submit(offered) if offered else 0
            self._require_no_failure()
            tokens += [submission.attempt.token for submission in offered[:taken]]
            if len(tokens) < len(jobs):
                if time.monotonic() > deadline:
                    raise RuleViolation(f"it took only {len(tokens)} of {len(jobs)} jobs, although others had ended")
                self.look()
                time.sleep(_LOOK_SECONDS)
        return tokens

    def look(self) -> dict[str, JobState]:
        """Ask for the states, and keep those of jobs that have ended."""
        states = self.executor.poll()
        self._require_no_failure()
        for token, state in states.items():
            if state.state not in ("pending", "running"):
                self.ends.setdefault(token, state)
        return states

    def wait(self, tokens: Sequence[str], what: str) -> list[JobState]:
        """Wait until these jobs have ended, and return their ends in order; `what`: they, for the violation."""
        self.wait_until(lambda: all(token in self.ends for token in tokens), f"{what} did not end")
        return [self.ends[token] for token in tokens]

    def wait_until(self, true: Callable[[], bool], otherwise: str) -> None:
        """Wait for something that the states show."""
        deadline = time.monotonic() + limit_seconds()
        while not true():
            states = self.look()
            if time.monotonic() > deadline:
                shown = ", ".join(sorted({state.state for state in states.values()}))
                raise RuleViolation(f"{otherwise} within {limit_seconds():g} s; the states are: {shown or 'none'}")
            time.sleep(_LOOK_SECONDS)

    def folder(self, token: str) -> JobFolder:
        """Return the folder of a job."""
        return JobFolder(self.place / FOLDER / token)

    def process_of(self, token: str) -> int | None:
        """Return the process of a job, if it is on this machine and known."""
        running = self.folder(token).running()
        return running.pid if running is not None and running.node == gethostname() else None

    def _submission(self, job: TrialJob) -> Submission:
        token = f"{next(self._numbers):016x}"
        return Submission(Attempt(token, f"trial-{token}", 1), "trial", Job(task="devices"), limit_seconds(), job)

    def _require_no_failure(self) -> None:
        if self.failures:
            raise RuleViolation(self.failures[0])


@contextlib.contextmanager
def trial_of(subject: Subject) -> Iterator[Trial]:
    """Try an executor; raises `RuleViolation` where one of its methods fails, and `NotApplicable` without its engine.

    Its jobs use a directory for temporary files: with nodes elsewhere, TMPDIR must name a shared one.
    """
    with tempfile.TemporaryDirectory(prefix="genbench-trial-") as folder:
        place = Path(folder, "run").resolve()
        for name in ("checkpoints", "samples", "logs"):
            (place / name).mkdir(parents=True)
        trial: Trial | None = None
        try:
            trial = Trial(subject, place)
            yield trial
        except ExecutorFailed as error:
            raise RuleViolation(error.cause) from error
        finally:
            if trial is not None:
                _end(trial)


def _end(trial: Trial) -> None:
    """End the jobs that still run, and the executor."""
    left = [job.name for job in (trial.place / FOLDER).glob("*") if job.name not in trial.ends and job.is_dir()]
    with contextlib.suppress(ExecutorFailed):
        if trial.process.running:
            trial.executor.cancel(left)
    for token in left:
        with contextlib.suppress(OSError):
            pid = trial.process_of(token)
            if pid is not None:
                kill(pid)
    trial.executor.close()
