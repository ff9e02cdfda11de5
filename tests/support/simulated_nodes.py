"""A simulated engine behind an executor, whose nodes deliver what a test says: no process and no training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from example_runs import cell, identity

from genbench.api.jobs import JobRequest, JobState
from genbench.process.messages import Finished, Job
from genbench.results.schema import CellResult, PlannedCell
from genbench.results.store import RunDirectory
from genbench.runner.executor_process import Call, ExecutorFailed, Limits, Reply
from genbench.runner.jobs.job_folder import RUNNING, JobFolder, NodeResult, NodeRunning
from genbench.runner.jobs.schedule import Attempt
from genbench.runner.plugin_executor import PluginExecutor
from genbench.runner.run_executor import Outcome, Submission

TOKENS = tuple(f"{number:016x}" for number in range(100))


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class SimulatedProcess:
    """Takes the place of `ExecutorProcess`; a test sets `states` and reads `requests`."""

    limits: Limits = field(default_factory=Limits)
    name: str = "simulated"
    running: bool = True
    requests: dict[str, JobRequest] = field(default_factory=dict)
    states: dict[str, JobState] = field(default_factory=dict)  # by token
    cancelled: list[str] = field(default_factory=list)
    collected: dict[str, bytes] = field(default_factory=dict)
    takes: int = 100  # jobs of each call
    offered: int = 0  # jobs of the last call
    failing: set[str] = field(default_factory=set)  # methods
    closed: bool = False

    def call(self, call: Call) -> Reply:
        """Answer a call."""
        if call.method in self.failing:
            raise ExecutorFailed(f"The executor 'simulated' failed in {call.method}: OSError: no route to host.")
        answer: Callable[[Call], Reply] = getattr(self, f"_{call.method}")
        return answer(call)

    def _submit(self, call: Call) -> Reply:
        taken, self.offered = call.jobs[: self.takes], len(call.jobs)
        self.requests |= {job.token: job for job in taken}
        return Reply(names=[f"job-{job.token}" for job in taken])

    def _poll(self, call: Call) -> Reply:
        return Reply(states=[self.states.get(handle.token, JobState(state="running")) for handle in call.handles])

    def _cancel(self, call: Call) -> Reply:
        self.cancelled += [handle.token for handle in call.handles]
        return Reply()

    def _collect(self, call: Call) -> Reply:
        return Reply(collected=self.collected.get(call.handles[0].token))

    def _check(self, call: Call) -> Reply:
        return Reply(names=["" for _ in call.needs])

    def close(self) -> None:
        """Note it."""
        self.closed = True


def planned(number: int) -> PlannedCell:
    """Return a planned cell."""
    return PlannedCell(id=f"gan-{number}", identity=identity("gan", seed=number))


def submission(number: int, attempt: int = 1, token: str = "") -> Submission:
    """Return the submission of a job of a cell."""
    task = planned(number)
    job = Job(task="cell", run="run", log=f"logs/{task.id}.log", cell=task)
    return Submission(Attempt(token or TOKENS[10 * number + attempt], task.id, attempt), task.id, job, 60.0)


def result_of(number: int, **changes: Any) -> CellResult:
    """Return the result of a cell."""
    return cell(planned(number).id, planned(number).identity, **changes)


def begin(request: JobRequest, start: str = "first") -> None:
    """Start a job on a node."""
    (request.folder / RUNNING).write_bytes(msgspec.json.encode(NodeRunning(start, "node-1", 1)))


def deliver(
    folder: Path,
    token: str,
    number: int,
    outcome: Outcome | None = None,
    files: Sequence[str] = ("samples/{id}.png", "checkpoints/{id}.safetensors", "logs/{id}.log"),
) -> None:
    """Deliver a result as a node does: its files first."""
    task = planned(number)
    for name in files:
        (folder / name.format(id=task.id)).write_bytes(b"contents")
    job_folder = JobFolder(folder)
    outcome = outcome or Outcome(finished=Finished(cell=result_of(number)))
    job_folder.deliver(NodeResult(token=token, start="first", outcome=outcome, files=job_folder.files()))


def make_executor(
    run: RunDirectory, process: SimulatedProcess, clock: Clock | None = None, warnings: list[str] | None = None
) -> PluginExecutor:
    """Return the executor with the simulated process."""
    said = [] if warnings is None else warnings
    return PluginExecutor(process, run, said.append, clock or Clock())  # type: ignore[arg-type]
