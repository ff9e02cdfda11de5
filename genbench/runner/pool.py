"""Starting workers, one at a time: forks of a process that has imported torch, or processes of their own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

import msgspec

from genbench.api.recipe import resolve_recipe
from genbench.errors import UsageError
from genbench.process.environment import worker_environment
from genbench.process.lines import Lines
from genbench.process.messages import Job, Message
from genbench.process.spawn import ChildProcess, calling
from genbench.results.schema import PlannedCell
from genbench.runner.spawned_workers import STARTER, SpawnedWorkers
from genbench.runner.worker_monitor import WorkerExit, WorkerMonitor
from genbench.system.means import uses_linux
from genbench.system.processes import Tree, keep_to_processors

FORK_SERVER_SECONDS = 300.0  # importing torch on a cold, slow disk
GRACE_SECONDS = 20.0  # for a worker that was asked to stop: time to finish a window and save
_CLOSE_SECONDS = 2.0  # for a fork server whose supervisor has gone to kill its worker


class Starter(Protocol):
    """Starts workers."""

    def start(self) -> None:
        """Prepare for the next worker, unless that was done: importing torch begins."""

    def begin(self, job: Job, processors: frozenset[int] | None) -> tuple[Lines, Lines] | None:
        """Start a worker for a job, on these processors if the system can choose them.

        Returns the connection on which `ForkServerReply` arrive, and that to the worker; None where that failed.
        """

    def ask(self, pid: int) -> None:
        """Ask a worker to save its state and stop."""

    def kill_worker(self, pid: int) -> None:
        """Kill a worker with everything that it has started."""

    def kill(self) -> None:
        """Kill the process that starts workers, and the workers with it."""

    def failure(self) -> str:
        """Return how the process that starts workers ended; an empty string while it runs."""

    def close(self, busy: bool) -> None:
        """End everything; `busy`: a worker may be running."""


class ForkedWorkers:
    """Workers that the fork server forks."""

    def __init__(self) -> None:
        self._fork_server: ChildProcess | None = None
        self._replies: Lines | None = None

    def start(self) -> None:
        """Start the fork server, unless it is running; it begins to import torch at once."""
        if self._fork_server is not None and self._fork_server.running:
            return
        self.close(False)
        code = calling("genbench.runner.fork_server", "main")
        self._fork_server = ChildProcess(code, environment=worker_environment())
        self._replies = Lines(self._fork_server.connection)

    def begin(self, job: Job, processors: frozenset[int] | None) -> tuple[Lines, Lines] | None:
        """Have the fork server fork a worker for a job."""
        assert self._fork_server is not None
        assert self._replies is not None
        if processors is not None:
            keep_to_processors(self._fork_server.pid, sorted(processors))
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._replies.socket, [msgspec.json.encode(job) + b"\n"], [theirs.fileno()])
            except OSError:
                ours.close()
                return None
        return self._replies, Lines(ours)

    def ask(self, pid: int) -> None:
        """Ask a worker to save its state and stop."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)

    def kill_worker(self, pid: int) -> None:
        """Kill a worker's whole process group, with what a plugin has started."""
        Tree(pid).kill()

    def kill(self) -> None:
        """Kill the fork server; its worker dies with it."""
        if self._fork_server is not None:
            self._fork_server.kill_at_once()

    def failure(self) -> str:
        """Return how the fork server ended, with the last line that it wrote; an empty string while it is running."""
        return "" if self._fork_server is None else self._fork_server.describe()

    def close(self, busy: bool) -> None:
        """End the fork server and its worker."""
        if self._replies is not None:
            self._replies.socket.close()  # it kills its worker, then exits
            self._replies = None
        if self._fork_server is not None:
            if busy:
                self._fork_server.wait(_CLOSE_SECONDS)
            self._fork_server.close()
            self._fork_server = None


class WorkerPool:
    """One worker at a time. Use it as a context manager."""

    in_process = False

    def __init__(self, fork_server_seconds: float = FORK_SERVER_SECONDS, grace_seconds: float = GRACE_SECONDS) -> None:
        self.fork_server_seconds, self.grace_seconds = fork_server_seconds, grace_seconds
        self._starter: Starter = ForkedWorkers() if uses_linux() else SpawnedWorkers()
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
        """Raise `UsageError` for cells that need processes which only Linux forks."""
        if uses_linux():
            return
        recipes = [resolve_recipe(cell.identity.recipe) for cell in cells if not cell.reason]
        if any(recipe.processes > 1 for recipe in recipes):
            raise UsageError("Several processes for one cell need Linux.", "Use --nproc 1 and --nnodes 1.")
        if any(recipe.loader_workers for recipe in recipes):
            raise UsageError("Loader workers need Linux.", "Use --loader-workers 0.")

    def start(self) -> None:
        """Start the process that imports torch for the next worker, unless it is running."""
        self._starter.start()

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
        connections = self._starter.begin(job, self.processors)
        if connections is None:
            return WorkerExit(failure=self.fork_server_failure())
        self._busy = True
        return WorkerMonitor(self, *connections, on_message, timeout)

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

    def ask_worker(self, pid: int) -> None:
        """Ask a worker to save its state and stop."""
        self._starter.ask(pid)

    def kill_worker(self, pid: int) -> None:
        """Kill a worker with everything that it has started."""
        self._starter.kill_worker(pid)

    def kill_fork_server(self) -> None:
        """Kill the process that starts workers; its worker dies with it."""
        self._starter.kill()

    def fork_server_failure(self) -> str:
        """Return how the process that starts workers ended, with its last line; an empty string while it is running."""
        how = self._starter.failure()
        return f"{STARTER} {how}" if how else ""

    def close(self) -> None:
        """End the process that starts workers, and its worker."""
        self._starter.close(self._busy)
        self._busy = False
