"""Starting a Python process, killing it with everything that it has started, and describing how it ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from genbench.process.exit_status import describe_exit

_EXIT_SECONDS = 5.0  # from the end of a process's connection to the end of the process


def calling(module: str, function: str) -> list[str]:
    """Return the arguments for Python that call a function of a module with the descriptor that the process inherits.

    The process searches for modules exactly where this one does. ``python -m`` would search the working directory
    first: a file ``random.py`` next to the user's data would break the import of torch.
    """
    return ["-c", f"import sys; sys.path[:] = {sys.path!r}; import {module} as m; m.{function}(int(sys.argv[1]))"]


def kill_with_variable(name: str, value: str) -> None:
    """Kill every process of this user in whose environment the variable has this value or begins with it; Linux only.

    It finds what a child has started in a session of its own, which killing the child's process group does not.
    """
    for _ in range(10):  # a process may start another before it is killed
        found = processes_with_variable(name, value)
        if not found:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def processes_with_variable(name: str, value: str) -> list[int]:
    """Return this user's other processes in whose environment the variable has this value or begins with it."""
    wanted = f"{name}={value}".encode()
    return [pid for pid in _other_processes() if any(v.startswith(wanted) for v in _environment(pid))]


def _other_processes() -> list[int]:
    with contextlib.suppress(OSError):
        names = [path.name for path in Path("/proc").iterdir()]
        return [int(name) for name in names if name.isdecimal() and int(name) != os.getpid()]
    return []


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has exited, or is another user's
        return []


class ChildProcess:
    """A Python process in a session of its own: Ctrl-C in the terminal does not reach it. Close it after use.

    Args:
        arguments: what Python runs; the number of the descriptor follows as the last argument.
        descriptor: end of a connection that the process inherits.
        output: takes standard output and error: a file, or `subprocess.PIPE`. Without it, standard output is discarded,
            and the end of standard error becomes part of `describe`.
        stdin: where standard input comes from.
        environment: variables of the process; those of this process without it.
        directory: working directory of the process; that of this process without it.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        descriptor: int,
        *,
        output: IO[bytes] | int | None = None,
        stdin: int = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        # -P: nothing is imported from the working directory, neither here nor in what the process starts.
        self._errors = tempfile.TemporaryFile() if output is None else None  # noqa: SIM115 - closed in `close`
        self._killed = False
        self._process = subprocess.Popen(
            [sys.executable, "-P", *arguments, str(descriptor)],
            stdin=stdin,
            stdout=subprocess.DEVNULL if output is None else output,
            stderr=subprocess.STDOUT if self._errors is None else self._errors,
            bufsize=0,
            pass_fds=[descriptor],
            env=environment,
            cwd=directory,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.stdin, self.stdout = self._process.stdin, self._process.stdout

    @property
    def running(self) -> bool:
        """Whether the process has not exited yet."""
        return self._process.poll() is None

    def wait(self, seconds: float = _EXIT_SECONDS) -> bool:
        """Wait until the process has exited; return whether it did in time."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and to everything that it has started in its process group."""
        if not self._killed:  # later its number may belong to another process
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """Kill the process and everything that it has started in its process group, and reap it."""
        self.send_signal(signal.SIGKILL)
        self._killed = True
        self._process.wait()

    def close(self) -> None:
        """Kill the process, and forget what it wrote."""
        self.kill()
        if self._errors is not None:
            self._errors.close()

    def describe(self) -> str:
        """Return how the process ended, with the last line of its standard error; empty where it runs on."""
        if not self.wait():  # its connections close a moment before it can be waited for
            return ""
        lines = self.error_lines()
        return describe_exit(self._process.returncode) + (f" ({lines[-1]})" if lines else "")

    def error_lines(self) -> list[str]:
        """Return the lines that the process has written to standard error, where they are kept."""
        if self._errors is None or self._errors.closed:
            return []
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip().splitlines()
