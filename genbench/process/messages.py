"""What supervisor, template, worker and reporters say to each other: JSON, one message a line, over sockets.

Nothing that a plugin prints can get between these lines: standard output and error go to the cell's log file.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from genbench.api.evaluation import Estimate
from genbench.results.schema import CellResult, PlannedCell, PlannedReference, ReferenceResult, Rendezvous


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is to do."""

    task: Literal["cell", "reference", "estimate", "devices"]
    run: str = ""  # run directory
    log: str = ""  # file that takes standard output and error
    cell: PlannedCell | None = None
    reference: PlannedReference | None = None
    plugins: list[dict[str, Any]] = []  # third-party plugins to load, as fields of `Plugin`
    device: str = "cpu"  # with its index: 'cuda:1'
    threads: int = 1
    memory_limit: float | None = None  # GiB
    checkpoint_seconds: float = 30.0  # training is saved this often, off the clock
    rendezvous: Rendezvous | None = None  # where processes on several machines find each other
    processes: int = 1  # that train the cell on this machine and share its memory
    start_seconds: float = 0.0  # that it took to start and join them


class Started(msgspec.Struct, frozen=True, tag="started"):
    """The worker lives, as the leader of its own process group."""

    pid: int


class Activity(msgspec.Struct, frozen=True, tag="activity"):
    """What the worker does now."""

    text: str


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """A window has been trained."""

    step: int
    images: int  # real images consumed so far
    images_per_second: float
    terms: dict[str, float | None]  # every curve
    shown: list[str]  # those among the terms that fit on a line
    seconds_left: float
    warmup: bool


class Measured(msgspec.Struct, frozen=True, tag="measured"):
    """The metrics were asked; `estimates` are the finite ones."""

    step: int
    images: int
    estimates: list[Estimate]


class Finished(msgspec.Struct, frozen=True, tag="finished"):
    """The worker's result; exactly one of the fields is set."""

    cell: CellResult | None = None
    reference: ReferenceResult | None = None
    facts: dict[str, Any] | None = None
    complaint: str = ""  # why there is none of them


class Stopped(msgspec.Struct, frozen=True, tag="stopped"):
    """The worker was asked to stop, has saved what it could, and leaves."""


Message: TypeAlias = Started | Activity | Progress | Measured | Finished | Stopped


class ForkServerReply(msgspec.Struct, frozen=True):
    """What the template says of a worker: its process id, then how it ended (as `os.waitpid` tells)."""

    pid: int
    status: int | None = None
