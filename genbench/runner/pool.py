"""Starting workers through the template process, one at a time."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec

from genbench.process.exit_status import describe_status
from genbench.process.lines import Lines
from genbench.process.messages import Job, Message
from genbench.runner.worker_monitor import WorkerExit, WorkerMonitor

FORK_SERVER_SECONDS = 300.0  # importing torch on a cold, slow disk
GRACE_SECONDS = 20.0  # for a worker that was asked to stop: time to finish a window and save

# How often an idle OpenMP thread looks for work before it sleeps. By default it looks for milliseconds, and a training
# whose other thread lost its processor to a neighbour becomes tens of times slower; with this many looks a quiet
# machine is as fast, and a busy one loses only its share.
SPIN_COUNT = "20000"

# Activations and gradients are freed and asked for again in every step. glibc hands what it calls large back to the
# kernel, and each page of it that is asked for again costs a fault; so it is told to keep it. A threshold above 32 MiB
# is refused by versions before 2.35, and then not even the one that adapts itself is left.
KEPT_BYTES = 1 << 30
MOST_ONCE_ACCEPTED = 32 << 20


class WorkerPool:
    """One template process, and one worker at a time. Use it as a context manager."""

    def __init__(self, fork_server_seconds: float = FORK_SERVER_SECONDS, grace_seconds: float = GRACE_SECONDS) -> None:
        self.fork_server_seconds, self.grace_seconds = fork_server_seconds, grace_seconds
        self._fork_server: subprocess.Popen[bytes] | None = None
        self._replies: Lines | None = None
        self._errors: IO[bytes] | None = None
        self._busy = False  # a worker was started and has not been seen to end
        self.wake_read, self._wake_write = socket.socketpair()
        self.stop_requested = False
        self.on_stopping: Callable[[], None] | None = None  # called once a worker was asked to stop

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the template, if it does not run; it begins to import torch at once."""
        if self._fork_server is not None and self._fork_server.poll() is None:
            return
        self.close()
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `close`
        with theirs:
            self._fork_server = subprocess.Popen(
                [sys.executable, *_path_flags(), "-m", "genbench.runner.fork_server", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=[theirs.fileno()],
                env=worker_environment(),
                start_new_session=True,  # Ctrl-C reaches the supervisor only
            )
        self._replies = Lines(ours)

    def run(self, job: Job, on_message: Callable[[Message], None], timeout: float | None = None) -> WorkerExit:
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
                ours.close()
                return WorkerExit(complaint=self.fork_server_failure())
        self._busy = True
        ending = WorkerMonitor(self, self._replies, Lines(ours), on_message, timeout).until_end()
        self._busy = ending.status is None
        return ending

    def request_stop(self) -> None:
        """Ask the running worker, and `run`, to stop; safe to call from a signal handler."""
        self.stop_requested = True
        with contextlib.suppress(OSError):
            self._wake_write.send(b"\n")

    def stopping(self) -> None:
        """Tell whoever waits that the worker was asked to stop."""
        if self.on_stopping is not None:
            self.on_stopping()

    def kill_fork_server(self) -> None:
        """End the template; its worker dies with it."""
        if self._fork_server is not None:
            self._fork_server.kill()

    def fork_server_failure(self) -> str:
        """Return how the template ended, with the last line that it wrote; an empty string while it lives."""
        if self._fork_server is None or self._errors is None:
            return ""
        try:
            code = self._fork_server.wait(timeout=5)  # its sockets close a moment before it can be waited for
        except subprocess.TimeoutExpired:
            return ""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        status = -code if code < 0 else code << 8
        return f"the process that starts workers {describe_status(status)}" + (f" ({lines[-1]})" if lines else "")

    def close(self) -> None:
        """End the template and whatever it runs."""
        if self._replies is not None:
            self._replies.socket.close()  # it ends its workers, then itself
            self._replies = None
        if self._fork_server is not None:
            if self._busy:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._fork_server.wait(timeout=2)
            self._fork_server.kill()
            self._fork_server.wait()
            self._fork_server, self._busy = None, False
        if self._errors is not None:
            self._errors.close()
            self._errors = None


def worker_environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the template's environment: the given one, where nothing was chosen with OpenMP's and malloc's settings.

    Idle threads soon sleep, and freed memory stays with the process.
    """
    own = {} if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(given) else {"GOMP_SPINCOUNT": SPIN_COUNT}
    if not any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in given):
        threshold = KEPT_BYTES if _glibc_version() >= (2, 35) else MOST_ONCE_ACCEPTED
        own |= {"MALLOC_MMAP_THRESHOLD_": str(threshold), "MALLOC_TRIM_THRESHOLD_": str(KEPT_BYTES)}
    return {**given, **own}


def _glibc_version() -> tuple[int, ...]:
    """Return the version, or nothing where the C library is another one; that does not know such settings."""
    try:
        _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        return tuple(map(int, version.split(".")))
    except (ValueError, OSError, AttributeError):
        return ()


def _path_flags() -> list[str]:
    """Keep the working directory out of the template's import path, unless it is in this process's own.

    ``python -m`` would put it in front: a file ``random.py`` beside the user's data would break the import of torch.
    """
    here = {""}
    with contextlib.suppress(OSError):
        here.add(str(Path.cwd()))
    return [] if here & set(sys.path) else ["-P"]
