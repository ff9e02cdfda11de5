"""The messages between supervisor, fork server and worker: JSON, one message per line, over sockets.

What a plugin prints cannot end up between these lines: standard output and error go to the cell's log file.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.options import OptionValue
from genbench.results.schema import (
    CellResult,
    ChosenSampler,
    PlannedCell,
    PlannedReference,
    ReferenceResult,
    Rendezvous,
)


class SamplerMetrics(msgspec.Struct, frozen=True):
    """A sampler, and the metrics of its samples that are to be measured."""

    sampler: ChosenSampler
    metrics: list[str]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The work of one worker."""

    task: Literal["cell", "reference", "measure", "estimate", "devices", "repeat"]
    run: str = ""  # run directory
    log: str = ""  # file for standard output and error
    cell: PlannedCell | None = None
    reference: PlannedReference | None = None
    metrics: list[str] = []  # of the task 'measure', of the samples that the family draws in its own way
    by_sampler: list[SamplerMetrics] = []  # of the task 'measure'
    windows: list[int] = []  # of the task 'repeat': the steps of each
    perturbation: int = 0  # of the task 'repeat': seed of a change of the weights in the last digit; 0: none
    step_options: dict[str, str] | None = None  # of the task 'repeat': to execute steps with; None: to be chosen
    metric_options: dict[str, dict[str, OptionValue]] = {}
    plugins: list[dict[str, Any]] = []  # third-party plugins to load, as fields of `Plugin`
    device: str = "cpu"  # with its index: 'cuda:1'; 'all' for the task 'devices'
    threads: int = 1
    memory_limit: float | None = None  # GiB
    checkpoint_seconds: float = 30.0  # interval between checkpoints of the training, off the clock
    turn: str = ""  # lock file of the cells that train one at a time; empty: none
    rendezvous: Rendezvous | None = None  # where processes on several machines meet
    processes: int = 1  # that train the cell on this machine and share its memory; for 'devices', GPUs to try
    start_seconds: float = 0.0  # time to start and join these processes


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The worker is running, as the leader of its own process group."""

    pid: int


class Activity(msgspec.Struct, frozen=True, tag="activity"):
    """What the worker is doing now."""

    text: str


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """A window has been trained."""

    step: int
    images: int  # real images consumed so far
    images_per_second: float
    terms: dict[str, float | None]  # all loss terms
    shown: list[str]  # names of the terms that fit on a line
    seconds_left: float
    warmup: bool


class Measured(msgspec.Struct, frozen=True, tag="measured"):
    """The metrics were evaluated; `estimates` are the finite values."""

    step: int
    images: int
    estimates: list[Estimate]


class SamplerValues(msgspec.Struct, frozen=True):
    """What was found with a sampler."""

    estimates: list[Estimate]
    unavailable: list[Unavailable]
    samples_per_second: float | None = None  # None: it failed
    evaluations_per_sample: float | None = None


class MetricValues(msgspec.Struct, frozen=True):
    """What the task 'measure' found."""

    estimates: list[Estimate]
    unavailable: list[Unavailable]
    by_sampler: list[SamplerValues] = []  # in the order of the job
    notes: list[str] = []


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The worker's result; exactly one field is set."""

    cell: CellResult | None = None
    reference: ReferenceResult | None = None
    values: MetricValues | None = None
    facts: dict[str, Any] | None = None
    failure: str = ""  # why there is no result


class Stopped(msgspec.Struct, frozen=True, tag="stopped"):
    """The worker was asked to stop, has saved its state, and exits."""


Message: TypeAlias = Started | Activity | Progress | Measured | Finished | Stopped


class ForkServerReply(msgspec.Struct, frozen=True):
    """The report on a worker by what started it: first its process id, later its return code, negative for a signal."""

    pid: int
    status: int | None = None
    failure: str = ""  # how its process ended, for a worker that did not come to start
