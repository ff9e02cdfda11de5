"""Workers without forks, for systems other than Linux: each is a process of its own that imports torch first.

Such a process is started before it is needed, where that is possible, and never while another worker is timed. Its
standard input is a pipe from the supervisor: a line asks it to stop, and the end of the pipe tells that the supervisor
has gone.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from functools import partial

import msgspec

from genbench.process.environment import worker_environment
from genbench.process.lines import Lines
from genbench.process.messages import ForkServerReply, Job
from genbench.process.spawn import ChildProcess, calling
from genbench.system.processes import Tree, keep_to_processors

STARTER = "the process that starts workers"


class SpawnedWorkers:
    """Workers that are processes of their own."""

    def __init__(self) -> None:
        self._waiting: ChildProcess | None = None  # has no job yet
        self._working: ChildProcess | None = None

    def start(self) -> None:
        """Start the process of the next worker, unless it is running."""
        if self._waiting is not None:
            if self._waiting.running:
                return
            self._waiting.close()
        code = calling("genbench.runner.spawned_workers", "main")
        self._waiting = ChildProcess(code, stdin=subprocess.PIPE, environment=worker_environment())

    def begin(self, job: Job, processors: frozenset[int] | None) -> tuple[Lines, Lines] | None:
        """Give the job to the process that waits for one."""
        self._close_ended()
        child, self._waiting, self._working = self._waiting, None, self._waiting
        assert child is not None
        if processors is not None:
            keep_to_processors(child.pid, sorted(processors))
        try:
            child.connection.sendall(msgspec.json.encode(job) + b"\n")
        except OSError:
            return None
        ours, theirs = socket.socketpair()
        threading.Thread(target=partial(_report_exit, child, theirs), daemon=True).start()
        return Lines(ours), Lines(child.connection)

    def ask(self, pid: int) -> None:
        """Ask a worker to save its state and stop."""
        if self._working is not None and self._working.stdin is not None:
            with contextlib.suppress(OSError, ValueError):
                self._working.stdin.write(b"\n")

    def kill_worker(self, pid: int) -> None:
        """Kill a worker with everything that it has started."""
        if self._working is not None:
            self._working.kill_at_once()

    def kill(self) -> None:
        """Kill the worker."""
        self.kill_worker(0)

    def failure(self) -> str:
        """Return how the process of the worker ended; an empty string while it is running."""
        return "" if self._working is None else self._working.describe()

    def close(self, busy: bool) -> None:
        """End the processes."""
        self._close_ended()
        if self._waiting is not None:
            self._end(self._waiting)
            self._waiting = None

    def _close_ended(self) -> None:
        if self._working is not None:
            self._end(self._working)
            self._working = None

    def _end(self, child: ChildProcess) -> None:
        child.close()
        child.connection.close()
        if child.stdin is not None:
            child.stdin.close()


def _report_exit(child: ChildProcess, connection: socket.socket) -> None:
    """Report a worker as the fork server does: its id at once, and, when it has exited, how."""
    with connection, contextlib.suppress(OSError, ValueError):  # closed by the supervisor
        lines = Lines(connection)
        lines.send(ForkServerReply(pid=child.pid))
        code = child.exit_code()
        failure = f"{STARTER} {child.describe()}"
        child.kill()  # what a plugin has started and left running
        lines.send(ForkServerReply(pid=child.pid, status=code, failure=failure))


def main(descriptor: int) -> None:
    """Import what a worker needs, receive a job on the connection with this descriptor, and execute it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor handles Ctrl-C
    threading.Thread(target=_follow, args=(os.dup(0),), daemon=True).start()
    connection = socket.socket(fileno=descriptor)
    from genbench.runner.fork_server import preload

    preload()
    job = _receive_job(connection)
    code = 1
    try:
        from genbench.runner.worker import work

        code = work(job, connection)
    finally:
        sys.stderr.flush()
        os._exit(code)  # skips a plugin's threads and exit handlers


def _receive_job(connection: socket.socket) -> Job:
    message = b""
    while not message.endswith(b"\n"):
        more = connection.recv(1 << 20)
        if not more:
            os._exit(0)  # the supervisor needs no further worker
        message += more
    return msgspec.json.decode(message, type=Job)


def _follow(descriptor: int) -> None:
    """Ask this process to stop when a line arrives; end it, with what it has started, when the supervisor has gone."""
    while os.read(descriptor, 1):
        _thread.interrupt_main(signal.SIGTERM)
    Tree(os.getpid()).kill()
    os._exit(1)
