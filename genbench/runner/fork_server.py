"""The template process: imports torch once, then forks a clean worker for each job.

It never runs a tensor operation and never touches a GPU, so a fork of it is as good as a fresh process and starts in
milliseconds. When the supervisor goes, for whatever reason, the socket between them closes, and the template takes its
worker along. When a worker goes, the template ends what a plugin may have started and left behind.

Run as a module: ``python -m genbench.runner.fork_server DESCRIPTOR``. The descriptor is a unix stream socket on which
jobs arrive, each with one descriptor attached: the worker's own socket.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import sys
from pathlib import Path

import msgspec

from genbench.process.lines import Lines
from genbench.process.messages import ForkServerReply, Job
from genbench.process.prctl import PR_SET_PDEATHSIG, prctl

_PR_SET_CHILD_SUBREAPER = 36  # Linux: orphaned descendants become this process's children


def preload() -> None:
    """Import everything that workers need, so that each worker has it at once."""
    from genbench.runner.compile_cache import keep_compiled_code

    keep_compiled_code()

    import torch._dynamo  # optimisers import it at their first use  # noqa: F401

    import genbench.metrics.frechet_distance
    import genbench.plugins.catalogue  # noqa: F401
    from genbench.measure import machine
    from genbench.plugins.worker_catalogue import load_builtin_plugins

    load_builtin_plugins()
    machine.versions()

    gc.collect()
    gc.freeze()  # keeps memory shared between the workers


def serve(connection: socket.socket) -> None:
    """Fork a worker for each job that arrives, report each worker's end, and return when the supervisor is gone."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    lines = Lines(connection)
    workers: set[int] = set()
    with contextlib.suppress(ConnectionError):
        while True:
            sources: list[socket.socket | int] = [connection, wake_read]
            ready, _, _ = select.select(sources, [], [])
            if wake_read in ready:
                os.read(wake_read, 512)
                for pid, status in _ended(workers):
                    lines.send(ForkServerReply(pid=pid, status=status))
            if connection in ready:
                received = _receive_job(connection)
                if received is None:
                    break
                job, descriptor = received
                supervised_by = os.getpid()
                pid = os.fork()
                if pid == 0:
                    _become_worker(job, descriptor, (wake_read, wake_write, connection.fileno()), supervised_by)
                os.close(descriptor)
                workers.add(pid)
                lines.send(ForkServerReply(pid=pid))
    for pid in workers:
        _end(pid)
        os.waitpid(pid, 0)
    _end_orphans(set())


def _receive_job(connection: socket.socket) -> tuple[Job, int] | None:
    """Return the next job and the worker's socket, or None when the supervisor is gone."""
    message, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 1)
    while message and not message.endswith(b"\n"):
        more = connection.recv(1 << 20)
        if not more:
            return None
        message += more
    return (msgspec.json.decode(message, type=Job), descriptors[0]) if message else None


def _ended(workers: set[int]) -> list[tuple[int, int]]:
    """Reap the workers that have ended, with everything that they have left running; return (pid, wait status)."""
    ended = []
    for pid in sorted(workers):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            workers.discard(pid)
            _end(pid)
            ended.append((pid, status))
    if ended:
        _end_orphans(workers)
    return ended


def _end(worker: int) -> None:
    """Kill a worker's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker, signal.SIGKILL)


def _end_orphans(workers: set[int]) -> None:
    """Kill processes that fled their worker's process group: as their subreaper, this process has become the parent."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    for _ in range(1000):  # each killed process may hand its own children over
        try:
            orphans = {int(word) for word in children.read_text(encoding="ascii").split()} - workers
        except OSError:
            return
        if not orphans:
            return
        for pid in orphans:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _become_worker(job: Job, descriptor: int, inherited: tuple[int, ...], template: int) -> None:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in inherited:
            os.close(number)
        os.setsid()  # a process group of its own: what it starts can be ended with it
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != template:
            return  # it died before the kernel was told
        from genbench.runner.worker import work

        code = work(job, socket.socket(fileno=descriptor))
    finally:
        os._exit(code)  # a plugin's threads and exit handlers have no say


def main() -> None:
    """Preload, then serve the socket whose descriptor is the first argument."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    preload()
    serve(connection)
    os._exit(0)  # no library's exit handlers: they would only complain


if __name__ == "__main__":
    main()
