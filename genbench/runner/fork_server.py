"""The fork server: imports torch once, then forks a clean worker for each job.

It never runs a tensor operation and never touches a GPU, so a fork of it is as good as a fresh process and starts in
milliseconds. When the supervisor exits, for whatever reason, the socket between them closes, and the fork server kills
its worker. When a worker exits, the fork server kills what a plugin may have started and left running.

`main` gets the descriptor of a unix stream socket on which jobs arrive, each with one descriptor attached: the worker's
own socket.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
from pathlib import Path

import msgspec

from genbench.process.lines import Lines
from genbench.process.messages import ForkServerReply, Job
from genbench.system.prctl import PR_SET_PDEATHSIG, prctl
from genbench.system.signals import set_delivery

_PR_SET_CHILD_SUBREAPER = 36  # Linux: orphaned descendants become this process's children


def preload() -> None:
    """Import everything that workers need, so that none of them has to."""
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
    gc.freeze()  # keeps this memory shared with the workers


def serve(connection: socket.socket) -> None:
    """Fork a worker for each job that arrives, report each worker's exit, and return when the supervisor has gone."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor handles Ctrl-C
    lines = Lines(connection)
    workers: set[int] = set()
    with contextlib.suppress(ConnectionError):
        while True:
            sources: list[socket.socket | int] = [connection, wake_read]
            ready, _, _ = select.select(sources, [], [])
            if wake_read in ready:
                os.read(wake_read, 512)
                for pid, status in _reap(workers):
                    lines.send(ForkServerReply(pid=pid, status=status))
            if connection in ready:
                received = _receive_job(connection)
                if received is None:
                    break
                job, descriptor = received
                server = os.getpid()
                pid = os.fork()
                if pid == 0:
                    _become_worker(job, descriptor, (wake_read, wake_write, connection.fileno()), server)
                os.close(descriptor)
                workers.add(pid)
                lines.send(ForkServerReply(pid=pid))
    for pid in workers:
        _kill_group(pid)
        os.waitpid(pid, 0)
    _kill_orphans(set())


def _receive_job(connection: socket.socket) -> tuple[Job, int] | None:
    """Return the next job and the worker's socket, or None when the supervisor has gone."""
    message, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 1)
    while message and not message.endswith(b"\n"):
        more = connection.recv(1 << 20)
        if not more:
            return None
        message += more
    return (msgspec.json.decode(message, type=Job), descriptors[0]) if message else None


def _reap(workers: set[int]) -> list[tuple[int, int]]:
    """Reap the workers that have exited, kill everything they left running, and return their ids and return codes."""
    exited = []
    for pid in sorted(workers):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            workers.discard(pid)
            _kill_group(pid)
            exited.append((pid, os.waitstatus_to_exitcode(status)))
    if exited:
        _kill_orphans(workers)
    return exited


def _kill_group(worker: int) -> None:
    """Kill a worker's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker, signal.SIGKILL)


def _kill_orphans(workers: set[int]) -> None:
    """Kill processes that left their worker's process group: this process, their subreaper, has become their parent."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    for _ in range(1000):  # the children of each killed process become children of this one
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


def _become_worker(job: Job, descriptor: int, inherited: tuple[int, ...], server: int) -> None:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in inherited:
            os.close(number)
        os.setsid()  # a process group of its own: what it starts can be killed with it
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            return  # the server died before prctl was called
        from genbench.runner.worker import work

        code = work(job, socket.socket(fileno=descriptor))
    finally:
        os._exit(code)  # skips a plugin's threads and exit handlers


def _is_closed(connection: socket.socket) -> bool:
    """Return whether the supervisor has closed its end."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False


def main(descriptor: int) -> None:
    """Preload, then serve the socket with this descriptor."""
    connection = socket.socket(fileno=descriptor)
    # SLURM and systemd send it to every process of a job: this one must live until its worker has saved its state.
    set_delivery(signal.SIGTERM, False)
    # While it imports, it does not look at the socket: the kernel ends it with the supervisor. Later it must live a
    # moment longer, to kill what its workers have started.
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if _is_closed(connection):
        os._exit(0)  # the supervisor died before prctl was called
    preload()
    prctl(PR_SET_PDEATHSIG, 0)
    serve(connection)
    os._exit(0)  # skips libraries' exit handlers, which would only print errors
