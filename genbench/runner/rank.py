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
import torch
import torch.distributed as dist
from torch.distributed.rendezvous import rendezvous

from genbench.cell.failure import diagnose, write_traceback
from genbench.cell.run import execute_cell
from genbench.process.messages import Job
from genbench.process.prctl import PR_SET_PDEATHSIG, prctl
from genbench.process.worker_channel import StopRequested, WorkerChannel
from genbench.results.schema import CellResult, Status
from genbench.train.process_group import Group, MainRankError
from genbench.train.torch_setup import set_up_torch

_TIMEOUT = timedelta(minutes=30)  # of an exchange of tensors; what may take longer is waited for in `World.broadcast`


class Report(msgspec.Struct, frozen=True):
    """Why this process ended too early: left as a file, since its launcher learns no more than that it did."""

    status: Status
    reason: str
    cell: CellResult | None = None  # what is known of the cell, from the main process


class ExitedEarly(Exception):
    """Tells the launcher to end the other processes; the `Report` says why."""


def report_path(folder: str, rank: int) -> Path:
    """Return the file of a rank's report."""
    return Path(folder) / f"report-{rank}.json"


def done_path(folder: str, rank: int) -> Path:
    """Return the file by which a rank says that it has nothing more to do."""
    return Path(folder) / f"done-{rank}"


def train_rank(encoded: bytes, connection: socket.socket, folder: str, launcher: int, launched: float) -> bytes | None:
    """Train the job's cell as the rank that the environment names; return the result, as JSON, from the main one.

    Args:
        encoded: the job, as JSON.
        connection: the worker's line to the supervisor; the main rank's from here on.
        folder: takes a report where this process ends early.
        launcher: process id of the worker.
        launched: when it launched this, by the monotonic clock.
    """
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:
        os._exit(1)  # it died before the kernel was told
    rank = int(os.environ["RANK"])
    (Path(folder) / f"pid-{rank}").write_text(str(os.getpid()), encoding="ascii")
    for number in (signal.SIGCHLD, signal.SIGALRM):  # a fork has the launcher's handlers
        signal.signal(number, signal.SIG_DFL)
    channel = WorkerChannel(connection if rank == 0 else None)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the launcher's, when another process has ended
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, channel.handle_stop)
    if rank:
        connection.close()
    faulthandler.enable(file=2)
    job = _own_part(msgspec.json.decode(encoded, type=Job))
    result: CellResult | None = None
    try:
        set_up_torch(job.threads)
        with _group(job.device) as group:
            group.barrier()
            job = msgspec.structs.replace(job, start_seconds=time.monotonic() - launched)
            with contextlib.suppress(MainRankError):
                result = execute_cell(job, channel, group)
            if result is not None and result.status in ("failed", "oom"):
                _end_early(folder, rank, Report(result.status, result.reason, None if rank else result))
            # How it ended is known to all, so that a run on another machine knows whether the cell is done.
            if group.broadcast(lambda: result.status if result else "failed") == "failed":
                _end_early(folder, rank, Report("failed", "the main process has failed"))
    except StopRequested:  # of this machine's own launcher it is known; that of another one needs the reason
        _end_early(folder, rank, Report("failed", "another machine was asked to stop; --resume on all of them goes on"))
    except ExitedEarly:
        raise
    except BaseException as error:
        write_traceback()
        _end_early(folder, rank, Report(*diagnose(error)))
    done_path(folder, rank).touch()
    return msgspec.json.encode(result) if rank == 0 else None


def _own_part(job: Job) -> Job:
    """Return the job with this process's device, and its part of the threads and the memory."""
    here, count = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    device = job.device
    if device.startswith("cuda"):
        device = f"cuda:{int(device.partition(':')[2] or 0) + here}"
    return msgspec.structs.replace(job, device=device, threads=max(1, job.threads // count), processes=count)


@contextlib.contextmanager
def _group(device_name: str) -> Iterator[Group]:
    """Join the process group that the environment names, and leave it at the end."""
    device = torch.device(device_name)
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    store, rank, size = next(iter(rendezvous("env://", timeout=_TIMEOUT)))
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        store=store,
        rank=rank,
        world_size=size,
        timeout=_TIMEOUT,
        device_id=device if on_gpu else None,
    )
    yield Group(store, device, int(os.environ["GROUP_RANK"]), int(os.environ["GROUP_WORLD_SIZE"]))
    dist.destroy_process_group()


def _end_early(folder: str, rank: int, report: Report) -> None:
    with contextlib.suppress(OSError):
        report_path(folder, rank).write_bytes(msgspec.json.encode(report))
    raise ExitedEarly(report.reason)
