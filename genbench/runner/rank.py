"""One of several processes that train a cell together, started by `genbench.runner.torchrun`."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import torch.distributed as dist
from torch._C._distributed_c10d import FileStore, Store
from torch.distributed.rendezvous import rendezvous

from genbench.cell.failure import diagnose, error_code
from genbench.cell.run import execute_cell
from genbench.measure.accelerator import select_device
from genbench.measure.capabilities import can, is_accelerator
from genbench.process.messages import Job
from genbench.process.worker_channel import StopRequested, WorkerChannel
from genbench.results.consistency import storable
from genbench.results.files import encode_line
from genbench.results.schema import CellResult, Status
from genbench.runner.rendezvous import ranks_file
from genbench.system.processes import end_with_parent
from genbench.train.process_group import Group, MainRankError
from genbench.train.torch_setup import set_up_torch

_TIMEOUT = timedelta(minutes=30)  # for an exchange of tensors; what may take longer waits in `World.broadcast`


class FailureReport(msgspec.Struct, frozen=True):
    """Why a rank exited early: written to a file, since the launcher sees only that it did."""

    status: Status
    reason: str
    cell: CellResult | None = None  # the partial result of the main process
    code: str = ""  # see `CellResult.code`


class ExitedEarly(Exception):
    """Makes the launcher stop the other processes; the `FailureReport` says why."""


def report_path(folder: str, rank: int) -> Path:
    """Return the file of a rank's failure report."""
    return Path(folder) / f"report-{rank}.json"


def done_path(folder: str, rank: int) -> Path:
    """Return the file that a rank creates when it has finished."""
    return Path(folder) / f"done-{rank}"


def train_rank(encoded: bytes, connection: socket.socket, folder: str, launcher: int, launched: float) -> bytes | None:
    """Train the job's cell as the rank that the environment names; return the result as JSON if it is the main rank.

    Args:
        encoded: the job, as JSON.
        connection: the worker's connection to the supervisor; used by the main rank from here on.
        folder: where a failure report goes if this process exits early.
        launcher: process id of the worker.
        launched: when the worker launched this process, by the monotonic clock.
    """
    end_with_parent()
    if os.getppid() != launcher:
        os._exit(1)  # the worker died before
    rank = int(os.environ["RANK"])
    (Path(folder) / f"pid-{rank}").write_text(str(os.getpid()), encoding="ascii")
    for number in (signal.SIGCHLD, signal.SIGALRM):  # a fork inherits the launcher's handlers
        signal.signal(number, signal.SIG_DFL)
    channel = WorkerChannel(connection if rank == 0 else None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # sent by the launcher when another rank has exited
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, channel.handle_stop)
    if rank:
        connection.close()
    faulthandler.enable(file=2)
    job = _job_of_rank(msgspec.json.decode(encoded, type=Job))
    result: CellResult | None = None
    try:
        set_up_torch(job.threads)
        with _process_group(job.device, folder) as group:
            group.barrier()
            job = msgspec.structs.replace(job, start_seconds=time.monotonic() - launched)
            with contextlib.suppress(MainRankError):
                result = storable(execute_cell(job, channel, group))
            if result is not None and result.status in ("failed", "oom"):
                _exit_early(
                    folder, rank, FailureReport(result.status, result.reason, None if rank else result, result.code)
                )
            # All ranks learn how it ended, so that a run on another machine knows whether the cell is done.
            if group.broadcast(lambda: result.status if result else "failed") == "failed":
                _exit_early(folder, rank, FailureReport("failed", "the main process failed"))
    except StopRequested:  # this machine's launcher knows of it; another machine's needs the reason
        _exit_early(
            folder,
            rank,
            FailureReport("failed", "another machine was asked to stop; use --resume on all of them to go on"),
        )
    except ExitedEarly:
        raise
    except BaseException as error:
        channel.handle_exception(error)
        _exit_early(folder, rank, FailureReport(*diagnose(error), code=error_code(error)))
    done_path(folder, rank).touch()
    return encode_line(result) if rank == 0 else None


def _job_of_rank(job: Job) -> Job:
    """Return the job with this rank's device and its share of the threads and the memory."""
    here, count = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    device = job.device
    if device != "cpu":
        kind, _, number = device.partition(":")
        device = f"{kind}:{int(number or 0) + here}"
    return msgspec.structs.replace(job, device=device, threads=max(1, job.threads // count), processes=count)


@contextlib.contextmanager
def _process_group(device_name: str, folder: str) -> Iterator[Group]:
    """Join the process group that the environment names, and leave it on exit; `folder` is the launcher's."""
    device = select_device(device_name)
    on_gpu = is_accelerator(device)
    rank, size, machines = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "GROUP_WORLD_SIZE"))
    if machines == 1:
        store: Store = FileStore(ranks_file(folder), size)
    else:
        store, _, _ = next(iter(rendezvous("env://", timeout=_TIMEOUT)))
    dist.init_process_group(
        can(device).collectives,
        store=store,
        rank=rank,
        world_size=size,
        timeout=_TIMEOUT,
        device_id=device if on_gpu else None,
    )
    yield Group(store, device, int(os.environ["GROUP_RANK"]), machines)
    dist.destroy_process_group()


def _exit_early(folder: str, rank: int, report: FailureReport) -> None:
    with contextlib.suppress(OSError):
        report_path(folder, rank).write_bytes(encode_line(report))
    raise ExitedEarly(report.reason)
