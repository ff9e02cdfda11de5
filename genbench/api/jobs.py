"""What executors exchange with genbench: the jobs that they submit, and the states that they report.

A job executes one cell (or measures the reference rows of a dataset) in a process of its own. An executor hands jobs to
an engine, such as a scheduler of a cluster; genbench decides which jobs, in which order, how often, and what their
results mean. Everything here is plain data.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

StateName: TypeAlias = Literal["pending", "running", "finished", "lost", "oom", "cancelled"]


class ExecutorUnavailable(Exception):
    """An executor lacks something it needs, such as its engine; the message says what, and how to get it."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a job needs on one node."""

    processes: int = 1  # that train the cell together: a gang, on the same node
    cores: int = 1  # of all these processes
    devices: int = 0  # accelerators, one for each process; 0: it trains on the CPU
    device_type: str = "cpu"  # 'cuda', 'mps', 'xpu'
    memory: float | None = None  # GiB; None: not limited by the user
    seconds: float | None = None  # after which the job has certainly ended by itself; None: no time limit
    estimate: float | None = None  # seconds that its cell takes from the beginning; None: unknown, or no `limits_time`
    extensions: int = 0  # earlier jobs of the cell that the engine's time limit ended: this one needs more time


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """A job to submit: one attempt at one cell.

    A node executes it in one of two ways. With a directory that driver and nodes share, it runs `command`, which writes
    messages and result to `folder`. Without one, it calls ``genbench.execute_job(payload)``, whose bytes the method
    `collect` of the executor returns.
    """

    token: str  # of this attempt, unique; letters, digits and '-': also a good name for the engine's job
    cell: str  # id of the cell
    label: str  # of the cell, for people
    attempt: int  # 1, 2, …; 1 again after one that was lost but made progress
    resources: Resources
    folder: Path  # absolute; exists as long as a result of this attempt is wanted
    command: tuple[str, ...]  # executes the job on a node that sees `folder`
    payload: bytes  # the whole job as JSON, for `genbench.execute_job`


@dataclass(frozen=True, kw_only=True)
class JobHandle:
    """A submitted job, also one that an earlier process has submitted: `job` is all that an executor knows of it.

    It comes from the run directory, which may be somebody else's: see `ExecutorSetup.run_name`.
    """

    token: str
    job: str  # what `submit` returned for it
    folder: Path


@dataclass(frozen=True, kw_only=True)
class JobState:
    """What the engine says about a job.

    'pending': it has not started. 'running'. 'finished': its process has ended in whatever way, and what it had to say
    is in its folder, or can be collected. 'lost': it ended without its own doing (its node died, it was preempted, the
    engine's time limit ended it) or the engine does not know it; it is tried again from its last checkpoint. 'oom': the
    engine ended it for lack of memory; without a result, that is the status of its cell. 'cancelled': somebody
    cancelled it; it is not tried again.
    """

    state: StateName
    reason: str = ""  # the engine's own words: why it is pending or lost, or what ended it; its last output
    node: str = ""  # where it runs or ran
    timed_out: bool = False  # it is lost because the engine's time limit ended it


@dataclass(frozen=True, kw_only=True)
class ExecutorSetup:
    """What an executor is created with.

    The jobs of a run must be told from all others by something that only the engine can have kept, such as a name that
    contains `run_name`: the journal of a run directory from elsewhere may name any job of this user. An executor
    reports other jobs as lost, and never ends them.
    """

    run: Path  # the run directory, absolute
    cells: int  # that are left to execute
    call_seconds: float = 60.0  # that genbench waits for the answer to a call of a method

    @property
    def run_name(self) -> str:
        """The name of this run directory at this place, for names of jobs: 16 hexadecimal digits."""
        return hashlib.sha256(os.fsencode(self.run)).hexdigest()[:16]


class Executor(Protocol):
    """What `create` of an `ExecutorSpec` returns; `check`, `collect` and `close` may be missing.

    Its methods are called in a process of its own, one at a time. One that raises an exception, or takes longer than a
    minute, is called again at most a few times; then the run ends, and can be resumed.

    Attributes, all optional:
        capacity: the largest number of jobs that may be submitted at the same time. [default: 100]
        poll_seconds: time between two calls of `poll`. [default: 5]
        start_seconds: after which a pending job is cancelled and counts as lost. [default: no limit]
        shared: whether a job may share its processors or devices with other jobs; the speeds of its cells are then
            marked, and compared only with those of cells that were measured in the same way. [default: False]
        limits_time: whether jobs get time limits from `Resources.estimate`: genbench then tries a step of each kind of
            cell on this machine, if it has the device, before the first job, and later knows more from the jobs
            themselves. [default: False]
    """

    def check(self, needs: Sequence[Resources]) -> Sequence[str]:
        """Return for each of these why the engine can never provide it; an empty string: it can, or nobody knows."""

    def submit(self, jobs: Sequence[JobRequest]) -> Sequence[str]:
        """Hand jobs to the engine; return its name of each, from which another process can find the job.

        If it returns fewer names, the other jobs were not submitted (a quota is used up), and are offered again later.
        """

    def poll(self, jobs: Sequence[JobHandle]) -> Sequence[JobState]:
        """Return the state of each job, also of jobs that an earlier process has submitted."""

    def cancel(self, jobs: Sequence[JobHandle]) -> None:
        """Ask the engine to end jobs: with SIGTERM first, upon which a job saves its state, where the engine can."""

    def collect(self, job: JobHandle) -> bytes | None:
        """Return what `genbench.execute_job` returned for a finished job; None: its result is in its folder."""

    def close(self) -> None:
        """End what this object has started; jobs that are still known to the engine go on."""
