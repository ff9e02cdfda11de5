"""Starting workers through the fork server, one at a time."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Sequence
from types import TracebackType

import msgspec

from genbench.process.environment import worker_environment
from genbench.process.lines import Lines
from genbench.process.messages import Job, Message
from genbench.process.spawn import ChildProcess, calling
from genbench.results.schema import PlannedCell
from genbench.runner.worker_monitor import WorkerExit, WorkerMonitor

FORK_SERVER_SECONDS = 300.0  # importing torch on a cold, slow disk
GRACE_SECONDS = 20.0  # for a worker that was asked to stop: time to finish a window and save
_CLOSE_SECONDS = 2.0  # for a fork server whose supervisor has gone to kill its worker


class WorkerPool:
    """One fork server, and one worker at a time. Use it as a context manager."""

    in_process = False

    def __init__(self, fork_server_seconds: float = FORK_SERVER_SECONDS, grace_seconds: float = GRACE_SECONDS) -> None:
        self.fork_server_seconds, self.grace_seconds = fork_server_seconds, grace_seconds
        self._fork_server: ChildProcess | None = None
        self._replies: Lines | None = None
        self._busy = False  # a worker was started and has not been seen to exit
        self.wake_read, self._wake_write = socket.socketpair()
        self.stop_requested = False
        self.on_stopping: Callable[[], None] | None = None  # called once a worker was asked to stop
        self.processors: frozenset[int] | None = None  # on which workers run; None: all usable ones

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def require_executable(self, cells: Sequence[PlannedCell]) -> None:
        """Do nothing: workers execute every cell."""

    def start(self) -> None:
        """Start the fork server, unless it is running; it begins to import torch at once."""
        if self._fork_server is not None and self._fork_server.running:
            return
        self.close()
        ours, theirs = socket.socketpair()
        with theirs:
            self._fork_server = ChildProcess(
                calling("genbench.runner.fork_server", "main"), theirs.fileno(), environment=worker_environment()
            )
        self._replies = Lines(ours)

    def run(self, job: Job, on_message: Callable[[Message], None], timeout: float | None = None) -> WorkerExit:
        """Run a job in a worker of its own and wait until it has exited, asleep unless a message arrives.

        `on_message` is called while the worker waits, so its time does not count as the worker's. After `timeout`
        seconds, counted from the worker's first message, or when `request_stop` was called, the worker is asked to stop
        and, if it does not, killed with everything that it has started.
        """
        monitor = self.begin(job, on_message, timeout)
        if isinstance(monitor, WorkerExit):
            return monitor
        try:
            return monitor.wait_for_exit()
        finally:
            self.ended(monitor)

    def begin(
        self, job: Job, on_message: Callable[[Message], None], timeout: float | None = None
    ) -> WorkerMonitor | WorkerExit:
        """Start a worker for a job, as `run` does, and return what watches it, or why there is none.

        The caller lets the monitor handle what happens until the worker has exited, and then calls `ended`.
        """
        self.start()
        self._keep_to_processors()
        assert self._replies is not None
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._replies.socket, [msgspec.json.encode(job) + b"\n"], [theirs.fileno()])
            except OSError:
                ours.close()
                return WorkerExit(failure=self.fork_server_failure())
        self._busy = True
        return WorkerMonitor(self, self._replies, Lines(ours), on_message, timeout)

    def _keep_to_processors(self) -> None:
        """Let the fork server, and what it starts, use only the chosen processors, where the system can."""
        if self.processors is not None and self._fork_server is not None and hasattr(os, "sched_setaffinity"):
            with contextlib.suppress(OSError):
                os.sched_setaffinity(self._fork_server.pid, self.processors)

    def ended(self, monitor: WorkerMonitor) -> None:
        """Note that the worker that a monitor has watched is no longer running."""
        self._busy = monitor.status is None

    def request_stop(self) -> None:
        """Ask the running worker, and `run`, to stop; safe to call from a signal handler."""
        self.stop_requested = True
        with contextlib.suppress(OSError):
            self._wake_write.send(b"\n")

    def stopping(self) -> None:
        """Report that the worker was asked to stop."""
        if self.on_stopping is not None:
            self.on_stopping()

    def kill_fork_server(self) -> None:
        """Kill the fork server; its worker dies with it."""
        if self._fork_server is not None:
            self._fork_server.send_signal(signal.SIGKILL)

    def fork_server_failure(self) -> str:
        """Return how the fork server ended, with the last line that it wrote; an empty string while it is running."""
        how = "" if self._fork_server is None else self._fork_server.describe()
        return f"the process that starts workers {how}" if how else ""

    def close(self) -> None:
        """End the fork server and its worker."""
        if self._replies is not None:
            self._replies.socket.close()  # it kills its worker, then exits
            self._replies = None
        if self._fork_server is not None:
            if self._busy:
                self._fork_server.wait(_CLOSE_SECONDS)
            self._fork_server.close()
            self._fork_server, self._busy = None, False
