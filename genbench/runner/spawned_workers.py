"""Workers without forks, for systems other than Linux: each is a process of its own that imports torch first.

Such a process is started before it is needed, where that is possible, and never while another worker is timed. Its
standard input is a pipe from the supervisor: a line asks it to stop, and the end of the pipe tells that the supervisor
has gone.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from functools import partial

import msgspec

from genbench.process.environment import worker_environment
from genbench.process.lines import Lines
from genbench.process.messages import ForkServerReply, Job
from genbench.process.spawn import ChildProcess, calling
from genbench.system.processes import keep_to_processors

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
        code = calling("genbench.runner.spawned_worker", "main")
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
