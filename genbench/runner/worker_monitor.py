"""Watching one worker from its start to its certain end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from genbench.process.exit_status import describe_status
from genbench.process.lines import Lines
from genbench.process.messages import (
    Finished,
    ForkServerReply,
    Message,
    Started,
    Stopped,
)

_LONGEST_SLEEP = 3600.0  # `select` refuses to sleep for ages


@dataclass(frozen=True)
class WorkerExit:
    """How a worker ended."""

    finished: Finished | None = None
    stopped: bool = False  # as it was asked to
    timed_out: bool = False
    status: int | None = None  # as `os.waitpid` tells; None: not known
    complaint: str = ""  # why there was no worker, or what took it along

    def describe(self) -> str:
        """Return why there is no result, in words."""
        if self.finished is not None and self.finished.complaint:
            return self.finished.complaint
        if self.status is None:
            return self.complaint or "the worker vanished"
        return f"the worker {describe_status(self.status)}"


class Pool(Protocol):
    """What a watch needs of the pool that started the worker."""

    fork_server_seconds: float
    grace_seconds: float
    stop_requested: bool
    wake_read: socket.socket

    def stopping(self) -> None:
        """Tell whoever waits that the worker was asked to stop."""

    def kill_fork_server(self) -> None:
        """End the fork_server, and with it its worker."""

    def fork_server_failure(self) -> str:
        """Return how the fork_server ended."""


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
        self.complaint = ""
        self.stopped = self.timed_out = self.asked = self.killed = self.started = False
        self.deadline: float | None = time.monotonic() + pool.fork_server_seconds

    def until_end(self) -> WorkerExit:
        """Wait until the worker is gone, and make sure that it is."""
        sources = {self.fork_server.socket, self.worker.socket}
        try:
            while self.status is None and self.fork_server.socket in sources:
                self._ask_to_stop_if_wanted()
                for source in self._wait(sources):
                    if source is self.worker.socket:
                        if not self._hear_worker():
                            sources.discard(source)
                    elif not self._hear_fork_server():
                        sources.discard(source)
        finally:
            if self.status is None:  # a fork_server that tells how its worker ended has ended the whole group before
                self._kill()
            self.worker.socket.close()
        if self.status is None and not self.complaint:
            self.complaint = self.pool.fork_server_failure()
        return WorkerExit(self.finished, self.stopped, self.timed_out, self.status, self.complaint)

    def _wait(self, sources: set[socket.socket]) -> list[socket.socket]:
        """Sleep until somebody says something, a stop is requested, or time is up."""
        while True:
            rest = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
            nap = None if rest is None else min(rest, _LONGEST_SLEEP)
            ready, _, _ = select.select([*sources, self.pool.wake_read], [], [], nap)
            if self.pool.wake_read in ready:
                self.pool.wake_read.recv(64)
                self._ask_to_stop_if_wanted()
                ready.remove(self.pool.wake_read)
            if ready:
                return ready
            if self.deadline is not None and time.monotonic() >= self.deadline:
                self._too_late()

    def _too_late(self) -> None:
        """Ask first, kill then; where even that does not help, or no worker came to life, end the fork_server."""
        if not self.started or self.killed:
            if not self.asked:
                self.complaint = f"no worker came to life within {self.pool.fork_server_seconds:g} s"
            self._kill()
            self.pool.kill_fork_server()
        elif self.asked:
            self._kill()
        else:
            self.timed_out = True
            self._ask(min(2.0, self.pool.grace_seconds))
            return
        self.deadline = time.monotonic() + self.pool.grace_seconds

    def _ask_to_stop_if_wanted(self) -> None:
        if self.pool.stop_requested and not self.asked:
            self._ask(self.pool.grace_seconds)
            self.pool.stopping()

    def _ask(self, grace: float) -> None:
        self.asked = True
        self.deadline = time.monotonic() + grace
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def _hear_worker(self) -> bool:
        lines = self.worker.receive()
        if lines is None:
            return False
        for line in lines:
            # A plugin that writes into every descriptor it finds reaches this socket too: what is no message is left.
            with contextlib.suppress(msgspec.DecodeError):
                self._take(msgspec.json.decode(line, type=Message))
            with contextlib.suppress(OSError):
                self.worker.socket.sendall(b"\n")
        return True

    def _take(self, message: Message) -> None:
        if isinstance(message, Started):
            self.started = True
            if not self.asked:
                self.deadline = None if self.timeout is None else time.monotonic() + self.timeout
        elif isinstance(message, Finished):
            self.finished = message
        elif isinstance(message, Stopped):
            self.stopped = True
        self.on_message(message)

    def _hear_fork_server(self) -> bool:
        lines = self.fork_server.receive()
        if lines is None:
            return False
        for line in lines:
            reply = msgspec.json.decode(line, type=ForkServerReply)
            if reply.status is None:
                self.pid = reply.pid
                if self.asked:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(reply.pid, signal.SIGTERM)
            elif reply.pid == self.pid:
                self.status = reply.status
                while self._more_from_worker():
                    pass
        return True

    def _more_from_worker(self) -> bool:
        """Take what the worker said just before it ended."""
        ready, _, _ = select.select([self.worker.socket], [], [], 0)
        return bool(ready) and self._hear_worker()

    def _kill(self) -> None:
        """End the worker's whole process group: also what a plugin has started."""
        self.killed = True
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
