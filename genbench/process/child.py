"""Asking a child process, so that code that hangs, prints, forks or crashes cannot harm the process that asks.

The child runs `serve(descriptor)` of a module. It reads the question from standard input and writes one answer per line
to the descriptor. Whatever else its code prints is kept separately.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

from genbench.process.spawn import ChildProcess, calling, kill_with_variable

MARK = "GENBENCH_CHILD"  # environment variable of a child and of all that it starts
EXIT_SECONDS = 2.0  # from the end of the child's answers to the end of the child
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
    answers, answers_write = os.pipe()
    with open(answers, "rb", buffering=0) as answers_file:  # noqa: PTH123 - a descriptor, not a path
        pipe = subprocess.PIPE
        mark = f"{os.environ.get(MARK, '')}/{secrets.token_hex(8)}"
        environment = {**os.environ, MARK: mark}
        child = ChildProcess(calling(module, "serve"), answers_write, stdin=pipe, output=pipe, environment=environment)
        os.close(answers_write)
        assert child.stdin is not None
        assert child.stdout is not None
        ending = ChildExit()
        with child.stdout:
            try:
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.write(question)
                    child.stdin.close()
                arrived = _receive(answers_file, child.stdout, count, limit, accept, ending, doing, starting)
                if not ending.reason and arrived < count:
                    child.wait(EXIT_SECONDS)  # it closed the pipe: its own exit status says more than a kill
            finally:
                child.kill()
                kill_with_variable(MARK, mark)  # what a plugin has started in a session of its own
            _keep_end(child.stdout, ending)
    if not ending.reason and arrived < count:
        ending.reason = f"the process {child.describe()} while {doing}"
    return ending


def _receive(
    answers: IO[bytes],
    output: IO[bytes],
    count: int,
    limit: float,
    accept: Callable[[bytes], None],
    ending: ChildExit,
    doing: str,
    starting: float,
) -> int:
    """Receive answers until all have arrived, the child has closed the pipe, or one is late; return their number."""
    arrived, buffer = 0, b""
    os.set_blocking(output.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(answers, selectors.EVENT_READ)
        selector.register(output, selectors.EVENT_READ)
        deadline = time.monotonic() + starting + limit
        while arrived < count:
            ready = [key.fileobj for key, _ in selector.select(max(0.0, deadline - time.monotonic()))]
            if output in ready and not _keep_end(output, ending):
                selector.unregister(output)
            if answers in ready:
                chunk = answers.read(65536)
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
            if time.monotonic() >= deadline:
                ending.reason, ending.late = f"it did not finish {doing} within {limit:g} s", True
                break
    return arrived


def _keep_end(output: IO[bytes], ending: ChildExit) -> bool:
    """Read what the pipe holds now, keep the end of all output, and return whether more may follow."""
    chunk = output.read(1 << 20)
    ending.output = (ending.output + (chunk or b""))[-_KEPT:]
    return chunk != b""  # None: nothing yet; b"": the end


@contextlib.contextmanager
def answering(descriptor: int) -> Iterator[Callable[[bytes], None]]:
    """Yield, in the child, a function that writes one answer; a copy of the child forked by a plugin exits instead."""
    owner = os.getpid()

    def answer(line: bytes) -> None:
        if os.getpid() != owner:
            os._exit(0)
        with memoryview(line + b"\n") as left:
            written = 0
            while written < len(left):
                written += os.write(descriptor, left[written:])

    yield answer
    os._exit(0)  # skips a plugin's threads and exit handlers
