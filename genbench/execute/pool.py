"""Starting workers through the template process, and ending them for certain."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import IO

import msgspec

from genbench.execute.messages import Finished, Job, Lines, Message, Started, Stopped, TemplateReply

TEMPLATE_SECONDS = 300.0  # importing torch on a cold, slow disk
GRACE_SECONDS = 20.0  # for a worker that was asked to stop: time to finish a window and save


@dataclass(frozen=True)
class Ending:
    """How a worker ended."""

    finished: Finished | None = None
    stopped: bool = False  # as it was asked to
    timed_out: bool = False
    status: int | None = None  # as `os.waitpid` tells; None: not known
    complaint: str = ""  # what the template said when it died itself

    def describe(self) -> str:
        """Return what the exit status says, in words."""
        if self.status is None:
            return f"the worker could not be started or vanished{': ' if self.complaint else ''}{self.complaint}"
        if os.WIFSIGNALED(self.status):
            number = os.WTERMSIG(self.status)
            with contextlib.suppress(ValueError):
                return f"the worker was ended by {signal.Signals(number).name}"
            return f"the worker was ended by signal {number}"
        return f"the worker ended by itself with exit status {os.waitstatus_to_exitcode(self.status)}"


class WorkerPool:
    """One template process, and one worker at a time. Use it as a context manager."""

    def __init__(self, template_seconds: float = TEMPLATE_SECONDS, grace_seconds: float = GRACE_SECONDS) -> None:
        self.template_seconds, self.grace_seconds = template_seconds, grace_seconds
        self._template: subprocess.Popen[bytes] | None = None
        self._replies: Lines | None = None
        self._errors: IO[bytes] | None = None
        self.wake_read, self._wake_write = socket.socketpair()
        self.stop_requested = False

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the template, if it does not run; it begins to import torch at once."""
        if self._template is not None and self._template.poll() is None:
            return
        self.close()
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        with theirs:
            self._template = subprocess.Popen(
                [sys.executable, "-m", "genbench.execute.template", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C reaches the supervisor only
            )
        self._replies = Lines(ours)

    def run(self, job: Job, on_message: Callable[[Message], None], timeout: float | None = None) -> Ending:
        """Run a job in a worker of its own and wait for its end, asleep unless a message arrives.

        `on_message` is called while the worker waits, so what it does is off the worker's clock. After `timeout`
        seconds, counted from the worker's first message, or when `request_stop` was called, the worker is asked to stop
        and, if it does not, killed with all that it has started.
        """
        self.start()
        assert self._replies is not None
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._replies.socket, [msgspec.json.encode(job) + b"\n"], [theirs.fileno()])
            except OSError:
                return Ending(complaint=self.template_complaint())
        return _Watch(self, self._replies, Lines(ours), on_message, timeout).until_end()

    def request_stop(self) -> None:
        """Ask the running worker, and `run`, to stop; safe to call from a signal handler."""
        self.stop_requested = True
        with contextlib.suppress(OSError):
            self._wake_write.send(b"\n")

    def template_complaint(self) -> str:
        """Return the last line that the template wrote before it died, or an empty string while it lives."""
        if self._template is None or self._template.poll() is None or self._errors is None:
            return ""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self._template.returncode}"

    def close(self) -> None:
        """End the template and whatever it runs."""
        if self._replies is not None:
            self._replies.socket.close()
            self._replies = None
        if self._template is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._template.wait(timeout=2)
            with contextlib.suppress(ProcessLookupError):
                self._template.kill()
            self._template.wait()
            self._template = None
        if self._errors is not None:
            self._errors.close()
            self._errors = None


class _Watch:
    """Watches one worker from its start to its end."""

    def __init__(
        self,
        pool: WorkerPool,
        template: Lines,
        worker: Lines,
        on_message: Callable[[Message], None],
        timeout: float | None,
    ) -> None:
        self.pool, self.template, self.worker = pool, template, worker
        self.on_message, self.timeout = on_message, timeout
        self.pid: int | None = None
        self.status: int | None = None
        self.finished: Finished | None = None
        self.stopped = self.timed_out = self.asked = False
        self.deadline: float | None = time.monotonic() + pool.template_seconds
        self.started = False

    def until_end(self) -> Ending:
        """Wait until the worker is gone, and make sure that it is."""
        sources = {self.template.socket, self.worker.socket}
        try:
            while self.status is None and self.template.socket in sources:
                self._ask_to_stop_if_wanted()
                for source in self._wait(sources):
                    if source is self.worker.socket:
                        if not self._hear_worker():
                            sources.discard(source)
                    elif not self._hear_template():
                        sources.discard(source)
        finally:
            self._kill()
            self.worker.socket.close()
        complaint = "" if self.status is not None else self.pool.template_complaint()
        return Ending(self.finished, self.stopped, self.timed_out, self.status, complaint)

    def _wait(self, sources: set[socket.socket]) -> list[socket.socket]:
        """Sleep until somebody says something, a stop is requested, or time is up."""
        while True:
            rest = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
            ready, _, _ = select.select([*sources, self.pool.wake_read], [], [], rest)
            if self.pool.wake_read in ready:
                self.pool.wake_read.recv(64)
                self._ask_to_stop_if_wanted()
                ready.remove(self.pool.wake_read)
            if ready:
                return ready
            if self.deadline is not None and time.monotonic() >= self.deadline:
                self._too_late()

    def _too_late(self) -> None:
        if self.asked or not self.started:
            self.timed_out = self.timed_out or not self.pool.stop_requested
            self._kill()
            self.deadline = time.monotonic() + self.pool.grace_seconds
            if not self.started and self.pool._template is not None:
                self.pool._template.kill()
            return
        self.timed_out = True
        self._ask(min(2.0, self.pool.grace_seconds))

    def _ask_to_stop_if_wanted(self) -> None:
        if self.pool.stop_requested and not self.asked:
            self._ask(self.pool.grace_seconds)

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
            message = msgspec.json.decode(line, type=Message)
            if isinstance(message, Started):
                self.started = True
                if not self.asked:
                    self.deadline = None if self.timeout is None else time.monotonic() + self.timeout
            elif isinstance(message, Finished):
                self.finished = message
            elif isinstance(message, Stopped):
                self.stopped = True
            self.on_message(message)
            with contextlib.suppress(OSError):
                self.worker.socket.sendall(b"\n")
        return True

    def _hear_template(self) -> bool:
        lines = self.template.receive()
        if lines is None:
            return False
        for line in lines:
            reply = msgspec.json.decode(line, type=TemplateReply)
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
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
