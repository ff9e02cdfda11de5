"""Executing a job on a node: ``python -P -m genbench.runner.node FOLDER TOKEN``, or `genbench.execute_job`.

The job runs in a worker with its limits, as on the driver's machine. Before it starts, the node verifies that it has
the driver's code. SIGTERM makes the worker save its state and stop, without a result: the job can be tried again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import msgspec

from genbench.process.messages import Finished, Job, Message
from genbench.results.files import atomic_write, encode_json, encode_line
from genbench.runner.jobs.job_folder import MESSAGES, REQUEST, RUNNING, JobFolder, NodeJob, NodeResult, NodeRunning
from genbench.runner.node_code import differences, fingerprint_of
from genbench.runner.pool import WorkerPool
from genbench.runner.run_executor import Outcome, TrialJob, outcome_of, was_killed
from genbench.runner.worker_monitor import WorkerExit, wait_for_messages
from genbench.system.oom_kills import kernel_memory_kills

NOT_SHARED, STOPPED = 3, 143  # exit codes: the folder is not here; asked to stop before there was a result
_LOOK_SECONDS = 5.0  # how often the node looks whether its job is still wanted


def main(arguments: list[str]) -> int:
    """Execute the job in a folder that the driver sees too; return the exit code."""
    path, token = Path(arguments[0]), arguments[1]
    folder = JobFolder(path)
    try:
        job = folder.request()
    except OSError as error:
        what = error.strerror
        sys.stderr.write(f"{path / REQUEST} cannot be read on this node ({what}): is the directory shared?\n")
        return NOT_SHARED
    if job.token != token:
        sys.stderr.write(f"{path} belongs to another job: {job.token}\n")
        return NOT_SHARED
    return 0 if _execute(job, folder) else STOPPED


def execute_job(payload: bytes) -> bytes:
    """Execute a job on a node that shares no directory with the driver; return its result and files.

    An executor calls it on the node with the payload of a `JobRequest`; its method `collect` returns the bytes.
    """
    job = msgspec.json.decode(payload, type=NodeJob)
    with tempfile.TemporaryDirectory(prefix="genbench-job-") as place:
        folder = JobFolder(Path(place, job.token))
        folder.create_empty(payload)
        _execute(job, folder, deliver_stopped=True)
        return folder.pack()


def _execute(node_job: NodeJob, folder: JobFolder, deliver_stopped: bool = False) -> bool:
    """Execute a job and deliver its outcome; return whether it has been delivered."""
    start = secrets.token_hex(8)
    atomic_write(folder.path / RUNNING, encode_json(NodeRunning(start, socket.gethostname(), os.getpid())))
    here = fingerprint_of([*node_job.fingerprint.distributions])
    if other := differences(node_job.fingerprint, here):
        what = "; ".join(other)
        outcome = Outcome(how=f"the node has {what}: install there what the driver has")
    elif node_job.trial is not None:
        outcome = _try_out(node_job.trial, folder, start)
    else:
        outcome = _work(node_job, folder, lambda: _is_wanted(folder, start))
    if outcome.stopped and not deliver_stopped:
        return False
    if _is_wanted(folder, start):  # also where another node was given the job meanwhile
        folder.deliver(NodeResult(token=node_job.token, start=start, outcome=outcome, files=folder.files()))
    return True


def _try_out(trial: TrialJob, folder: JobFolder, start: str) -> Outcome:
    """Do what a job of the conformance kit does: leave a mark for this start, sleep, and end."""
    (folder.path / "logs" / f"{start}.log").touch()
    time.sleep(trial.seconds)
    if trial.status < 0:
        signal.raise_signal(-trial.status)
    if trial.status > 0:
        os._exit(trial.status)
    return Outcome(finished=Finished(facts={}))


def _is_wanted(folder: JobFolder, start: str) -> bool:
    """Whether the result of this start is still wanted: the driver removes the folder if not."""
    try:
        now = folder.running()
    except OSError as error:
        return error.errno != errno.ESTALE  # otherwise the file system is not reachable for the moment
    return now is not None and now.start == start


def _work(node_job: NodeJob, folder: JobFolder, wanted: Callable[[], bool]) -> Outcome:
    """Run the worker of a job; stop it once its result is not wanted any more."""
    kills_before = kernel_memory_kills()
    with _plugins_written(node_job) as job, _environment(node_job), WorkerPool() as pool, _stopped_by_sigterm(pool):
        job = msgspec.structs.replace(job, run=str(folder.path), log=str(folder.path / "logs" / Path(job.log).name))
        with _messages_written(folder) as receive:
            monitor = pool.begin(job, receive, node_job.timeout)
            if isinstance(monitor, WorkerExit):
                return _unless_stopped(outcome_of(monitor, False), pool)
            try:
                while not monitor.exited:
                    wait_for_messages([monitor], _LOOK_SECONDS)
                    if not pool.stop_requested and not wanted():
                        pool.request_stop()
            finally:
                monitor.end()
                pool.ended(monitor)
    worker_exit = monitor.worker_exit()
    outcome = outcome_of(worker_exit, was_killed(worker_exit) and kernel_memory_kills() > kills_before)
    return _unless_stopped(outcome, pool)


def _unless_stopped(outcome: Outcome, pool: WorkerPool) -> Outcome:
    """Take a failure after a request to stop for its effect: an engine may send it to every process of a job."""
    finished = outcome.finished
    failed = finished is None or finished.failure or (finished.cell is not None and finished.cell.status == "failed")
    return msgspec.structs.replace(outcome, stopped=True) if pool.stop_requested and failed else outcome


@contextlib.contextmanager
def _messages_written(folder: JobFolder) -> Iterator[Callable[[Message], None]]:
    """Yield a function that appends a message to the folder, while the worker waits for its answer."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context((folder.path / MESSAGES).open("ab", buffering=0))

        def receive(message: Message) -> None:
            with contextlib.suppress(OSError):  # a full disk, or a job that is not wanted: progress is not shown
                file.write(encode_line(message) + b"\n")

        yield receive


@contextlib.contextmanager
def _plugins_written(node_job: NodeJob) -> Iterator[Job]:
    """Write the job's single-file plugins to this node, and yield the job with their places."""
    with tempfile.TemporaryDirectory(prefix="genbench-plugins-") as place:
        travelled, plugins = iter(enumerate(node_job.plugin_files)), []
        for plugin in node_job.job.plugins:
            if plugin["origin"] == "file":
                number, file = next(travelled)
                target = Path(place, str(number), Path(file.name).name)
                target.parent.mkdir()
                target.write_text(file.text, encoding="utf-8")
                plugin = {**plugin, "target": str(target)}
            plugins.append(plugin)
        yield msgspec.structs.replace(node_job.job, plugins=plugins)


@contextlib.contextmanager
def _environment(node_job: NodeJob) -> Iterator[None]:
    """Meanwhile the driver's settings hold here, and its working directory if there is one of that name."""
    before, place = dict(os.environ), Path.cwd()
    os.environ.update(node_job.variables)
    with contextlib.suppress(OSError):
        os.chdir(node_job.directory or ".")
    try:
        yield
    finally:
        os.chdir(place)
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _stopped_by_sigterm(pool: WorkerPool) -> Iterator[None]:
    """Meanwhile SIGTERM asks the worker to save its state and stop; not in a thread, which gets no signals."""

    def handle(number: int, frame: FrameType | None) -> None:
        pool.request_stop()

    try:
        before = signal.signal(signal.SIGTERM, handle)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
