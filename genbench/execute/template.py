"""The template process: imports torch once, then forks a clean worker for each job.

It never runs a tensor operation and never touches a GPU, so a fork of it is as good as a fresh process and starts in
milliseconds. It dies with the supervisor, and its workers die with it.

Run as a module: ``python -m genbench.execute.template DESCRIPTOR``, the descriptor being a unix stream socket on which
jobs arrive, each with one descriptor attached: the worker's own socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import sys

import msgspec

from genbench.execute.messages import Job, Lines, TemplateReply

_PR_SET_PDEATHSIG = 1  # Linux: signal to get when the parent dies


def die_with_parent() -> None:
    """Ask the kernel to end this process when its parent ends, where the kernel can (Linux)."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def preload() -> None:
    """Import everything that workers need, so that each worker has it at once."""
    import torch._dynamo  # optimisers import it at their first use  # noqa: F401

    import genbench.execute.worker
    import genbench.metrics.frechet_distance
    import genbench.plan.catalogue  # noqa: F401

    gc.collect()
    gc.freeze()  # keeps memory shared between the workers


def serve(connection: socket.socket) -> None:
    """Fork a worker for each job that arrives, report each worker's end, and return when the supervisor is gone."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    lines = Lines(connection)
    workers: set[int] = set()
    while True:
        sources: list[socket.socket | int] = [connection, wake_read]
        ready, _, _ = select.select(sources, [], [])
        if wake_read in ready:
            os.read(wake_read, 512)
            for pid, status in _ended(workers):
                lines.send(TemplateReply(pid=pid, status=status))
        if connection in ready:
            message, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 1)
            if not message:
                break
            while not message.endswith(b"\n"):
                message += connection.recv(1 << 20)
            job = msgspec.json.decode(message, type=Job)
            pid = os.fork()
            if pid == 0:
                _become_worker(job, descriptors[0], (wake_read, wake_write, connection.fileno()))
            os.close(descriptors[0])
            workers.add(pid)
            lines.send(TemplateReply(pid=pid))
    for pid in workers:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _ended(workers: set[int]) -> list[tuple[int, int]]:
    ended = []
    for pid in sorted(workers):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            workers.discard(pid)
            ended.append((pid, status))
    return ended


def _become_worker(job: Job, descriptor: int, inherited: tuple[int, ...]) -> None:
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in inherited:
            os.close(number)
        os.setsid()  # a process group of its own: nothing that it starts outlives it
        die_with_parent()
        from genbench.execute.worker import work

        code = work(job, socket.socket(fileno=descriptor))
    finally:
        os._exit(code)  # a plugin's threads and exit handlers have no say


def main() -> None:
    """Preload, then serve the socket whose descriptor is the first argument."""
    die_with_parent()
    connection = socket.socket(fileno=int(sys.argv[1]))
    preload()
    serve(connection)
    os._exit(0)  # no library's exit handlers: they would only complain


if __name__ == "__main__":
    main()
