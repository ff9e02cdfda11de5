"""Starting a Python process, killing it with everything that it has started, and describing how it ended."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from genbench.process.exit_status import describe_exit
from genbench.system.means import uses_linux
from genbench.system.processes import PARENT, Tree, kill_with_variable, wait_for_parent

_EXIT_SECONDS = 5.0  # from the end of a process's connection to the end of the process

# Only Linux passes a connection on. Elsewhere the child connects to a port of this machine, and proves by a secret in
# its environment, which other users cannot read, that it is the child.
_CONNECT_SECONDS = 60.0  # for Python to start
_TOKEN, _TOKEN_BYTES = "GENBENCH_TOKEN", 32
_DESCENT = "GENBENCH_DESCENT"  # environment variable of a child and of all that it starts
_CONNECT = f"""\
import os, socket, sys
c = socket.create_connection(("127.0.0.1", int(sys.argv[-1])))
c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
c.sendall(bytes.fromhex(os.environ.pop("{_TOKEN}")))
sys.argv[-1] = str(c.detach())
del c
"""


def calling(module: str, function: str) -> list[str]:
    """Return the arguments for Python that call a function of a module with the descriptor of its connection.

    The process searches for modules exactly where this one does. ``python -m`` would search the working directory
    first: a file ``random.py`` next to the user's data would break the import of torch.
    """
    return ["-c", f"import sys; sys.path[:] = {sys.path!r}; import {module} as m; m.{function}(int(sys.argv[1]))"]


def wait_for_other_end(descriptor: int) -> None:
    """Return when the process at the other end of a connection has gone; another thread may read from it."""
    if uses_linux():
        poll = select.poll()
        poll.register(descriptor, select.POLLHUP)
        poll.poll()
    else:
        wait_for_parent()


class ChildProcess:
    """A Python process in a session of its own: Ctrl-C in the terminal does not reach it. Close it after use.

    Args:
        arguments: what Python runs: `-c` and code, or the path of a script; the descriptor of the process's end of the
            connection follows as the last argument.
        output: takes standard output and error: a file, or `subprocess.PIPE`. Without it, standard output is discarded,
            and the end of standard error becomes part of `describe`.
        stdin: where standard input comes from.
        environment: variables of the process; those of this process without it.
        directory: working directory of the process; that of this process without it.

    Attributes:
        connection: this process's end of a connection to the child. Whoever uses it closes it.
    """

    connection: socket.socket

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        output: IO[bytes] | int | None = None,
        stdin: int = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        # -P: nothing is imported from the working directory, neither here nor in what the process starts.
        self._errors = tempfile.TemporaryFile() if output is None else None  # noqa: SIM115 - closed in `close`
        self._killed = False
        self._descent = ""
        self._stdin, self._output, self._directory = stdin, output, directory
        if uses_linux():
            self.connection, theirs = socket.socketpair()
            with theirs:
                number = theirs.fileno()
                self._process = self._start([*arguments, str(number)], environment, pass_fds=[number])
        else:
            self._process = self._start_and_accept(arguments, os.environ if environment is None else environment)
        self.pid = self._process.pid
        self._tree = Tree(self.pid)
        self.stdin, self.stdout = self._process.stdin, self._process.stdout

    def _start(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None, pass_fds: Sequence[int] = ()
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", *arguments],
            stdin=self._stdin,
            stdout=subprocess.DEVNULL if self._output is None else self._output,
            stderr=subprocess.STDOUT if self._errors is None else self._errors,
            bufsize=0,
            pass_fds=pass_fds,
            env=environment,
            cwd=self._directory,
            start_new_session=True,  # no effect on Windows, where the next line has the same
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )

    def _start_and_accept(self, arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        """Start the process, and wait until it has connected."""
        if arguments[0] == "-c":
            code = _CONNECT + arguments[1]
        else:
            code = f"{_CONNECT}import runpy; runpy.run_path({arguments[0]!r}, run_name='__main__')"
        token = secrets.token_bytes(_TOKEN_BYTES)
        self._descent = f"{environment.get(_DESCENT, '')}/{secrets.token_hex(8)}"
        own = {_TOKEN: token.hex(), _DESCENT: self._descent, PARENT: str(os.getpid())}
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            process = self._start(["-c", code, str(port)], {**environment, **own})
            try:
                self.connection = _accept(listener, token, process)
            except BaseException:  # Ctrl-C
                process.kill()
                raise
        return process

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

    def pause(self) -> None:
        """Let the process and everything that it has started in its process group stop until `resume` is called."""
        if not self._killed:  # later its number may belong to another process
            self._tree.pause()

    def resume(self) -> None:
        """Let the process and everything that it has started in its process group go on."""
        if not self._killed:
            self._tree.resume()

    def kill_at_once(self) -> None:
        """Kill the process and everything that it has started in its process group; `kill` reaps it."""
        if not self._killed:
            self._tree.kill()

    def kill(self) -> None:
        """Kill the process and everything that it has started in its process group, and reap it."""
        self.kill_at_once()
        if self._descent and not self._killed:  # what is left has no parent that would lead to it
            kill_with_variable(_DESCENT, self._descent)
        self._killed = True
        self._process.wait()

    def close(self) -> None:
        """Kill the process, and forget what it wrote."""
        self.kill()
        if self._errors is not None:
            self._errors.close()

    def exit_code(self) -> int:
        """Wait until the process has exited; return its exit status, or the negative number of a signal."""
        return self._process.wait()

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


def _accept(listener: socket.socket, token: bytes, process: subprocess.Popen[bytes]) -> socket.socket:
    """Return the connection of the process that knows the token; a closed one if it exits or is late."""
    deadline = time.monotonic() + _CONNECT_SECONDS
    listener.settimeout(0.05)
    while time.monotonic() < deadline:
        running = process.poll() is None
        with contextlib.suppress(TimeoutError, ConnectionError):
            connection, _ = listener.accept()
            connection.settimeout(1.0)
            if secrets.compare_digest(_receive(connection, len(token)), token):
                connection.settimeout(None)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
            connection.close()  # of a stranger
        if not running:
            break
    ours, theirs = socket.socketpair()
    theirs.close()
    return ours


def _receive(connection: socket.socket, count: int) -> bytes:
    """Return the next bytes; fewer if the other end closes the connection or is silent."""
    received = b""
    with contextlib.suppress(OSError):
        while len(received) < count and (more := connection.recv(count - len(received))):
            received += more
    return received
