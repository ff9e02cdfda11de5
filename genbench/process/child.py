"""Asking a child process, so that code that hangs, prints, forks or crashes cannot harm the process that asks.

The child runs `serve(descriptor)` of a module. It reads the question from standard input and writes one answer per line
to the connection with that descriptor. Whatever else its code prints is kept separately.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from genbench.process.spawn import ChildProcess, calling
from genbench.system.processes import kill_with_variable

MARK = "GENBENCH_CHILD"  # environment variable of a child and of all that it starts
EXIT_SECONDS = 2.0  # from the end of the child's answers to the end of the child
_OUTPUT_SECONDS = 1.0  # from the end of the child to the end of its output
_KEPT = 4000  # bytes of what the child printed


@dataclass
class ChildExit:
    """Why answers are missing, and what the child printed."""

    reason: str = ""  # empty: all answers arrived
    output: bytes = b""  # the end of what the child printed
    late: bool = False  # an answer did not arrive within the time limit

    @property
    def text(self) -> str:
        """The end of what the child printed."""
        return self.output.decode(errors="replace")


def ask_child(
    module: str,
    question: bytes,
    count: int,
    limit: float,
    accept: Callable[[bytes], None],
    doing: str,
    starting: float = 0.0,
) -> ChildExit:
    """Start a child, send it the question, pass each of `count` answers to `accept`, and return how it ended.

    `limit` is the time in seconds that one answer may take; the first one may take `starting` seconds more. An error
    raised by `accept` ends the exchange. `doing` describes the child's work in the reason, such as 'loading'. At the
    end the child is killed with everything that it has started.
    """
    pipe = subprocess.PIPE
    mark = f"{os.environ.get(MARK, '')}/{secrets.token_hex(8)}"
    environment = {**os.environ, MARK: mark}
    child = ChildProcess(calling(module, "serve"), stdin=pipe, output=pipe, environment=environment)
    assert child.stdin is not None
    assert child.stdout is not None
    ending = ChildExit()
    # In a thread: nothing else reads a pipe and waits for another connection on every system.
    reading = threading.Thread(target=_keep_end, args=(child.stdout, ending), daemon=True)
    with child.connection:
        reading.start()
        try:
            with contextlib.suppress(OSError):  # the child has ended
                child.stdin.write(question)
                child.stdin.close()
            arrived = _receive(child.connection, count, limit, accept, ending, doing, starting)
            if not ending.reason and arrived < count:
                child.wait(EXIT_SECONDS)  # it closed the connection: its own exit status says more than a kill
        finally:
            child.kill()
            kill_with_variable(MARK, mark)  # what a plugin has started in a session of its own
            reading.join(_OUTPUT_SECONDS)
            if not reading.is_alive():
                child.stdout.close()
    if not ending.reason and arrived < count:
        ending.reason = f"the process {child.describe()} while {doing}"
    return ending


def _receive(
    connection: socket.socket,
    count: int,
    limit: float,
    accept: Callable[[bytes], None],
    ending: ChildExit,
    doing: str,
    starting: float,
) -> int:
    """Receive answers until all have arrived, the child has closed its end, or one is late; return their number."""
    arrived, buffer = 0, b""
    deadline = time.monotonic() + starting + limit
    while arrived < count:
        left = deadline - time.monotonic()
        if left <= 0:
            ending.reason, ending.late = f"it did not finish {doing} within {limit:g} s", True
            break
        connection.settimeout(left)
        try:
            chunk = connection.recv(65536)
        except TimeoutError:
            continue
        except OSError:
            break
        if not chunk:
            break
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            try:
                accept(line)
            except Exception as error:
                ending.reason = f"its answer cannot be read: {type(error).__name__}: {error}"
                return arrived
            arrived += 1
            deadline = time.monotonic() + limit
    return arrived


def _keep_end(output: IO[bytes], ending: ChildExit) -> None:
    """Read all output, and keep its end."""
    with contextlib.suppress(OSError, ValueError):
        while chunk := output.read(1 << 16):
            ending.output = (ending.output + chunk)[-_KEPT:]


@contextlib.contextmanager
def answering(descriptor: int) -> Iterator[Callable[[bytes], None]]:
    """Yield, in the child, a function that writes one answer; a copy of the child forked by a plugin exits instead."""
    owner, connection = os.getpid(), socket.socket(fileno=descriptor)

    def answer(line: bytes) -> None:
        if os.getpid() != owner:
            os._exit(0)
        connection.sendall(line + b"\n")

    yield answer
    os._exit(0)  # skips a plugin's threads and exit handlers
