"""The worker: executes one job in a process of its own and reports to the supervisor."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import socket
import sys
from pathlib import Path

from genbench.api.recipe import resolve_recipe
from genbench.cell.cost_estimate import estimate_cell
from genbench.cell.failure import diagnose
from genbench.cell.later_measurement import measure_trained
from genbench.cell.reference_rows import measure_reference
from genbench.cell.repetition import repeat_windows
from genbench.cell.run import execute_cell
from genbench.measure.accelerator import devices, hide_gpus
from genbench.process.messages import (
    Finished,
    Job,
    Started,
    Stopped,
)
from genbench.process.worker_channel import StopRequested, WorkerChannel
from genbench.results.consistency import storable
from genbench.system.opening import open_to_append
from genbench.system.signals import set_delivery
from genbench.train.torch_setup import set_up_torch


def work(job: Job, connection: socket.socket) -> int:
    """Execute the job, report its result, and return the exit status."""
    _redirect(job.log)
    faulthandler.enable(file=2)  # a crash writes its Python stack to the log
    channel = WorkerChannel(connection)
    signal.signal(signal.SIGTERM, channel.handle_stop)
    set_delivery(signal.SIGTERM, True)  # the fork server holds it back
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        channel.say(Started(os.getpid()))
        finished = execute_job(job, channel)
    except StopRequested:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        channel.say(Stopped())
        return 0
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # closed by a plugin, or the log's disk is full
            stream.flush()
    channel.say(finished)
    return 0


def execute_job(job: Job, channel: WorkerChannel) -> Finished:
    """Set torch up, execute the job, and return its result or failure. Raises `StopRequested` alone."""
    try:
        if job.device == "cpu":
            hide_gpus()
        set_up_torch(job.threads)
        return _result(job, channel)
    except StopRequested:
        raise
    except BaseException as error:
        channel.handle_exception(error)
        return Finished(failure=diagnose(error)[1])


def _result(job: Job, channel: WorkerChannel) -> Finished:
    if job.task == "devices":
        return Finished(facts=devices(job.device, job.processes))
    if job.task == "estimate":
        return Finished(facts=estimate_cell(job))
    if job.task == "reference":
        return Finished(reference=measure_reference(job, channel))
    if job.task == "measure":
        return Finished(values=measure_trained(job, channel))
    if job.task == "repeat":
        return Finished(facts=repeat_windows(job, channel))
    if job.cell is not None and resolve_recipe(job.cell.identity.recipe).processes > 1:
        from genbench.runner.torchrun import train_together

        return train_together(job, channel)
    return Finished(cell=storable(execute_cell(job, channel)))


def _redirect(log: str) -> None:
    """Send standard output and error to the log file, or discard them without one; standard input is empty."""
    try:
        if log:
            Path(log).parent.mkdir(parents=True, exist_ok=True)
        output = open_to_append(log or os.devnull)
    except OSError:
        output = os.open(os.devnull, os.O_WRONLY)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
