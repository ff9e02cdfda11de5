"""Watching one worker from its start until it has certainly exited."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from genbench.process.exit_status import describe_exit
from genbench.process.lines import Lines
from genbench.process.messages import (
    Finished,
    ForkServerReply,
    Message,
    Started,
    Stopped,
)

_LONGEST_SLEEP = 3600.0  # `select` refuses very long timeouts
_TIMEOUT_GRACE = 2.0  # for a worker that is asked to stop because its time is up


@dataclass(frozen=True)
class WorkerExit:
    """How a worker ended."""

    finished: Finished | None = None
    stopped: bool = False  # as it was asked to
    timed_out: bool = False
    status: int | None = None  # return code, negative for a signal; None: unknown
    failure: str = ""  # why there was no worker, or why it went

    def describe(self) -> str:
        """Return why there is no result."""
        if self.finished is not None and self.finished.failure:
            return self.finished.failure
        if self.status is None:
            return self.failure or "the worker disappeared"
        return f"the worker {describe_exit(self.status)}"


class Pool(Protocol):
    """What a monitor needs of the pool that started the worker."""

    fork_server_seconds: float
    grace_seconds: float
    stop_requested: bool
    wake_read: socket.socket

    def stopping(self) -> None:
        """Report that the worker was asked to stop."""

    def ask_worker(self, pid: int) -> None:
        """Ask a worker to save its state and stop."""

    def kill_worker(self, pid: int) -> None:
        """Kill a worker with everything that it has started."""

    def kill_fork_server(self) -> None:
        """Kill the fork server, and with it its worker."""

    def fork_server_failure(self) -> str:
        """Return how the fork server ended."""


class WorkerMonitor:
    """Watches one worker."""

    def __init__(
        self,
        pool: Pool,
        fork_server: Lines,
        worker: Lines,
        on_message: Callable[[Message], None],
        timeout: float | None,
    ) -> None:
        self.pool, self.fork_server, self.worker = pool, fork_server, worker
        self.on_message, self.timeout = on_message, timeout
        self.pid: int | None = None
        self.status: int | None = None
        self.finished: Finished | None = None
        self.failure = self.not_started = ""
        self.stopped = self.timed_out = self.asked_to_stop = self.killed = self.started = False
        self.deadline: float | None = time.monotonic() + pool.fork_server_seconds
        self.sources = {fork_server.socket, worker.socket}

    def wait_for_exit(self) -> WorkerExit:
        """Wait until the worker has exited; whatever happens, it has when this returns."""
        try:
            while not self.exited:
                wait_for_messages([self])
        finally:
            self.end()
        return self.worker_exit()

    @property
    def exited(self) -> bool:
        """Whether the worker has exited, or nobody is left who would know."""
        return self.status is not None or self.fork_server.socket not in self.sources

    def end(self) -> None:
        """Kill a worker that may be running, and close its connection."""
        if self.status is None:  # a fork server that reports a worker's status has killed its whole group before
            self._kill()
        self.worker.socket.close()

    def worker_exit(self) -> WorkerExit:
        """Return how the worker ended."""
        if self.status is None and not self.failure:
            self.failure = self.pool.fork_server_failure()
        if self.not_started and not self.started:
            return WorkerExit(timed_out=self.timed_out, failure=self.failure or self.not_started)
        return WorkerExit(self.finished, self.stopped, self.timed_out, self.status, self.failure)

    def handle(self, ready: Collection[socket.socket]) -> None:
        """Handle what has arrived on these sockets, a request to stop, and the end of the time limit."""
        if self.pool.wake_read in ready:
            self.pool.wake_read.recv(64)
        self.stop_if_requested()
        arrived = self.sources & {*ready}
        if self.worker.socket in arrived and not self._receive_from_worker():
            self.sources.discard(self.worker.socket)
        if self.fork_server.socket in arrived and not self._receive_from_fork_server():
            self.sources.discard(self.fork_server.socket)
        if not arrived and self.deadline is not None and time.monotonic() >= self.deadline:
            self._handle_deadline()

    def _handle_deadline(self) -> None:
        """Ask the worker to stop, then kill it; kill the fork server if that does not help or no worker has started."""
        if not self.started or self.killed:
            if not self.asked_to_stop:
                self.failure = f"the worker did not start within {self.pool.fork_server_seconds:g} s"
            self._kill()
            self.pool.kill_fork_server()
        elif self.asked_to_stop:
            self._kill()
        else:
            self.timed_out = True
            self._ask_to_stop(min(_TIMEOUT_GRACE, self.pool.grace_seconds))
            return
        self.deadline = time.monotonic() + self.pool.grace_seconds

    def stop_if_requested(self) -> None:
        """Ask the worker to stop if that was requested, once."""
        if self.pool.stop_requested and not self.asked_to_stop:
            self._ask_to_stop(self.pool.grace_seconds)
            self.pool.stopping()

    def _ask_to_stop(self, grace: float) -> None:
        self.asked_to_stop = True
        self.deadline = time.monotonic() + grace
        if self.pid is not None:
            self.pool.ask_worker(self.pid)

    def _receive_from_worker(self) -> bool:
        lines = self.worker.receive()
        if lines is None:
            return False
        for line in lines:
            # A plugin that writes to every descriptor it finds reaches this socket too: ignore what is not a message.
            with contextlib.suppress(msgspec.DecodeError):
                self._handle(msgspec.json.decode(line, type=Message))
            with contextlib.suppress(OSError):
                self.worker.socket.sendall(b"\n")
        return True

    def _handle(self, message: Message) -> None:
        if isinstance(message, Started):
            self.started = True
            if self.asked_to_stop:  # perhaps before it could notice
                self.pool.ask_worker(message.pid)
            if not self.asked_to_stop:
                self.deadline = None if self.timeout is None else time.monotonic() + self.timeout
        elif isinstance(message, Finished):
            self.finished = message
        elif isinstance(message, Stopped):
            self.stopped = True
        self.on_message(message)

    def _receive_from_fork_server(self) -> bool:
        lines = self.fork_server.receive()
        if lines is None:
            return False
        for line in lines:
            reply = msgspec.json.decode(line, type=ForkServerReply)
            if reply.status is None:
                self.pid = reply.pid
                if self.asked_to_stop:
                    self.pool.ask_worker(reply.pid)
            elif reply.pid == self.pid:
                self.status, self.not_started = reply.status, reply.failure
                while self._receive_last_messages():
                    pass
        return True

    def _receive_last_messages(self) -> bool:
        """Receive what the worker sent just before it exited."""
        ready, _, _ = select.select([self.worker.socket], [], [], 0)
        return bool(ready) and self._receive_from_worker()

    def _kill(self) -> None:
        """Kill the worker, with what a plugin has started."""
        self.killed = True
        if self.pid is not None:
            self.pool.kill_worker(self.pid)


def wait_for_messages(monitors: Sequence[WorkerMonitor], seconds: float = _LONGEST_SLEEP) -> None:
    """Sleep until something happens to one of the workers, at most this long, and let the monitors handle it."""
    for monitor in monitors:
        monitor.stop_if_requested()
    now = time.monotonic()
    left = [max(0.0, monitor.deadline - now) for monitor in monitors if monitor.deadline is not None]
    sources = {source for monitor in monitors for source in (*monitor.sources, monitor.pool.wake_read)}
    ready, _, _ = select.select([*sources], [], [], min([seconds, _LONGEST_SLEEP, *left]))
    for monitor in monitors:
        monitor.handle(ready)
