"""A cell that several processes train: the worker becomes torchrun's elastic agent, and its children, the ranks, train.

The worker sends nothing while they run; the main rank uses the worker's connection. All of them are in the worker's
process group and die with the worker: killing a worker kills them too.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing import api as elastic_processes
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousConnectionError, RendezvousError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from genbench.api.recipe import Recipe, resolve_recipe
from genbench.measure.capabilities import can
from genbench.process.exit_status import describe_exit
from genbench.process.messages import Finished, Job
from genbench.process.worker_channel import StopRequested, WorkerChannel
from genbench.results.failure_codes import WORKER_LOST
from genbench.results.schema import CellResult, Status
from genbench.runner import rendezvous
from genbench.runner.rank import (
    FailureReport,
    done_path,
    report_path,
    train_rank,
)
from genbench.system.oom_kills import kernel_memory_kills

JOIN_SECONDS = 900  # for the processes of other machines to arrive
_POLL_SECONDS = 0.2  # how often the agent checks for ranks that have exited
_SILENT_EXIT_SECONDS = 2.0  # after which a rank that has exited without a report counts as failed

# SIGTERM is a request to stop: see `_forwarded_stop_requests`. torch 2.8 has no such field, and takes SIGTERM as well.
_CHOOSES_SIGNALS = "signals_to_handle" in LaunchConfig.__dataclass_fields__
_CHOSEN_SIGNALS: dict[str, Any] = {"signals_to_handle": "SIGHUP"} if _CHOOSES_SIGNALS else {}

ELSEWHERE = "trained together with other machines: the result is in the run directory of the machine of rank 0"


def processes_of(job: Job) -> tuple[int, int]:
    """Return how many processes train the job's cell on each machine, and on how many machines."""
    recipe = resolve_recipe(job.cell.identity.recipe) if job.cell is not None else Recipe()
    return recipe.nproc, recipe.nnodes


def train_together(job: Job, channel: WorkerChannel) -> Finished:
    """Train the job's cell in several processes and return its result; raise `StopRequested` if asked to stop."""
    assert job.cell is not None
    nproc, nnodes = processes_of(job)
    memory_kills = kernel_memory_kills()
    with (
        tempfile.TemporaryDirectory(prefix="genbench-ranks-") as folder,
        _forwarded_stop_requests(channel),
        _detected_silent_exits(folder),
    ):
        try:
            answers = _launch(job, channel, folder)
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            result = _result_after_failure(job, nproc * nnodes, rank, failure, folder, memory_kills)
        except ExitedSilently as error:
            result = _stopped_by(job, f"rank {error.rank} of {nproc * nnodes}", 0)
        except RendezvousError as error:
            where = job.rendezvous.endpoint if job.rendezvous else folder
            reason = (
                f"the processes of {nnodes} machines did not find each other at {where} ({error}); run the same "
                "command on each, with the same --rdzv-endpoint and --rdzv-id"
            )
            result = _without_result(job, "failed", reason)
        else:
            found = next((answer for answer in answers.values() if answer), None)
            if found is None:  # the main process is on another machine
                return Finished(cell=_without_result(job, "skipped", ELSEWHERE))
            return Finished(cell=msgspec.json.decode(found, type=CellResult))
    if channel.stop_requested:
        raise StopRequested
    return Finished(cell=result)


def _launch(job: Job, channel: WorkerChannel, folder: str) -> dict[int, bytes | None]:
    """Act as the elastic agent of the ranks on this machine; return what each of them returns, by rank.

    When machines rendezvous for cell after cell, one may be so early that it finds the rendezvous of the previous cell,
    which is about to close: it then tries again.
    """
    nproc, nnodes = processes_of(job)
    deadline = time.monotonic() + JOIN_SECONDS
    while True:
        arguments = (msgspec.json.encode(job), channel.connection, folder, os.getpid(), time.monotonic())
        try:
            with _temporary_files_in(folder):  # torch keeps a file for each rank's error
                launch = elastic_launch(_config(job, nproc, nnodes, folder), train_rank)
                answers: dict[int, bytes | None] = launch(*arguments)
            return answers
        except RendezvousConnectionError:
            if nnodes == 1 or time.monotonic() > deadline:
                raise
            time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def _temporary_files_in(folder: str) -> Iterator[None]:
    """Let this process create temporary files in a folder that will be removed."""
    before, tempfile.tempdir = tempfile.tempdir, folder
    try:
        yield
    finally:
        tempfile.tempdir = before


def _config(job: Job, nproc: int, nnodes: int, folder: str) -> LaunchConfig:
    assert job.cell is not None
    shared = job.rendezvous if nnodes > 1 else None
    if shared is None or shared.endpoint.rpartition(":")[0] in ("127.0.0.1", "localhost"):
        _stay_on_this_machine()
    config = LaunchConfig(
        min_nodes=nnodes,
        max_nodes=nnodes,
        nproc_per_node=nproc,
        run_id=f"{shared.id}-{job.cell.id}" if shared else job.cell.id,
        rdzv_backend=rendezvous.NAME,
        rdzv_endpoint=shared.endpoint if shared else "",
        rdzv_configs={"folder": folder, "seconds": JOIN_SECONDS},
        max_restarts=0,  # a failed cell is reported; resuming it is the user's decision
        monitor_interval=_POLL_SECONDS,
        # A fork has torch loaded. CUDA forbids forks of a process that has queried devices, as the agent does.
        start_method="spawn" if can(job.device).spawned else "fork",
        logs_specs=DefaultLogsSpecs(log_dir=folder),
        **_CHOSEN_SIGNALS,
    )
    # Where there is a rank for each GPU, some builds of torch bind ranks to the processors near their GPU. The same
    # cell would have fewer `cores` than with others, or than beside an unused GPU.
    config.numa_options = None
    return config


def _stay_on_this_machine() -> None:
    """Let the ranks exchange tensors over the loopback interface alone: no other machine can connect to them."""
    if sys.platform == "linux":
        os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = "lo"


@contextlib.contextmanager
def _forwarded_stop_requests(channel: WorkerChannel) -> Iterator[None]:
    """Forward requests to stop to the ranks; before there are any, raise `StopRequested`."""

    def handle(number: int, frame: FrameType | None) -> None:
        channel.stop_requested = True
        children = multiprocessing.active_children()
        if not children:
            raise StopRequested
        for child in children:
            if child.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGUSR1)

    before = signal.signal(signal.SIGTERM, handle)
    try:
        with _kept_by_torch(handle):
            yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _kept_by_torch(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let torch 2.8 keep this handler of SIGTERM when it starts the ranks; later versions are told to leave it."""
    if _CHOOSES_SIGNALS:
        yield
        return
    of_torch = elastic_processes._terminate_process_handler

    def handle_both(signum: int, frame: FrameType | None) -> None:
        (handle if signum == signal.SIGTERM else of_torch)(signum, frame)

    elastic_processes._terminate_process_handler = handle_both
    try:
        yield
    finally:
        elastic_processes._terminate_process_handler = of_torch


class ExitedSilently(Exception):
    """A rank has exited with status 0 before it finished: a plugin has called `os._exit`."""

    def __init__(self, rank: int) -> None:
        super().__init__(rank)
        self.rank = rank


@contextlib.contextmanager
def _detected_silent_exits(folder: str) -> Iterator[None]:
    """Raise `ExitedSilently` shortly after a rank has exited without reporting that it has finished.

    The elastic agent takes exit status 0 for success and would wait indefinitely for the rank's result.
    """

    def check_later(number: int, frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, _SILENT_EXIT_SECONDS)  # the agent handles any other exit meanwhile

    def check(number: int, frame: FrameType | None) -> None:
        alive = {child.pid for child in multiprocessing.active_children()}
        for path in Path(folder).glob("pid-*"):
            rank = int(path.name.partition("-")[2])
            if int(path.read_text(encoding="ascii")) not in alive and not done_path(folder, rank).exists():
                raise ExitedSilently(rank)

    before = {
        number: signal.signal(number, call) for number, call in ((signal.SIGCHLD, check_later), (signal.SIGALRM, check))
    }
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _result_after_failure(
    job: Job, processes: int, rank: int, failure: ProcessFailure, folder: str, memory_kills: int
) -> CellResult:
    """Return the result of a cell one of whose ranks exited early, from the report that the rank left."""
    who = f"rank {rank} of {processes}"
    try:
        report = msgspec.json.decode(report_path(folder, rank).read_bytes(), type=FailureReport)
    except (OSError, msgspec.DecodeError):
        report = None
    if report is not None:
        status, reason = report.status, f"{who}: {report.reason}"
        if report.cell is not None:
            return msgspec.structs.replace(report.cell, status=status, reason=reason)
        return _without_result(job, status, reason, report.code)
    if failure.exitcode == -signal.SIGKILL and kernel_memory_kills() > memory_kills:
        return _without_result(
            job, "oom", f"the system ran out of memory and killed {who}; use a smaller --batch-size, or fewer --nproc"
        )
    return _stopped_by(job, who, failure.exitcode)


def _stopped_by(job: Job, rank: str, code: int) -> CellResult:
    """Return the result of a cell whose other ranks were stopped because this one exited with a return code."""
    log = f"; see {job.log}" if job.log else ""
    return _without_result(job, "failed", f"{rank} {describe_exit(code)}; the others were stopped{log}", WORKER_LOST)


def _without_result(job: Job, status: Status, reason: str, code: str = "") -> CellResult:
    cell = job.cell
    assert cell is not None
    return CellResult(
        id=cell.id,
        identity=cell.identity,
        status=status,
        reason=reason,
        code=code,
        synthetic_data=cell.synthetic_data,
    )
