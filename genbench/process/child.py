"""Asking a child process, so that code that hangs, prints, forks or crashes cannot harm the one who asks.

The child runs `serve(descriptor)` of a module. It reads its question from standard input and writes one answer a line
to the descriptor; whatever else the code in it prints is kept apart.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

LAST_SECONDS = 2.0  # from the end of the child's answers to the end of the child
_KEPT = 4000  # bytes of what the child printed


@dataclass
class ChildExit:
    """How the conversation ended, where not all answers came."""

    reason: str = ""  # empty: all came
    output: bytes = b""  # the end of what the child printed

    @property
    def text(self) -> str:
        """What the child printed last."""
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
    """Start a child, hand it the question, and pass each of `count` answers on; return how it ended.

    `limit` is the time in seconds that one answer may take, the first one `starting` seconds more. Where `accept`
    raises, that is the end. `doing` says in the reason what the child was at, such as 'loading'. The child and all that
    it has started are ended.
    """
    answers, answers_write = os.pipe()
    # The child looks for modules exactly where this process does: not in the working directory, where -m would look.
    program = f"import sys; sys.path[:] = {sys.path!r}; import {module} as m; m.serve({answers_write})"
    with open(answers, "rb", buffering=0) as answers_file:  # noqa: PTH123 - a descriptor, not a path
        child = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            pass_fds=[answers_write],
            start_new_session=True,
        )
        os.close(answers_write)
        assert child.stdin is not None
        assert child.stdout is not None
        ending = ChildExit()
        with child.stdout:
            try:
                with contextlib.suppress(BrokenPipeError):
                    child.stdin.write(question)
                    child.stdin.close()
                arrived = _listen(answers_file, child.stdout, count, limit, accept, ending, doing, starting)
                if not ending.reason and arrived < count:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(LAST_SECONDS)  # it closed the pipe: let it end by itself, and say how
            finally:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, signal.SIGKILL)  # with whatever the child has started
                code = child.wait()
            _keep_end(child.stdout, ending)
    if not ending.reason and arrived < count:
        ending.reason = f"{doing} it ended the process with {_status(code)}"
    return ending


def _status(code: int) -> str:
    if code >= 0:
        return f"exit status {code}"
    return next((known.name for known in signal.Signals if known == -code), f"signal {-code}")


def _listen(
    answers: IO[bytes],
    output: IO[bytes],
    count: int,
    limit: float,
    accept: Callable[[bytes], None],
    ending: ChildExit,
    doing: str,
    starting: float,
) -> int:
    """Take answers until all are there, the child has closed the pipe, or one takes too long; return their number."""
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
                        ending.reason = f"what it says of itself cannot be read: {type(error).__name__}: {error}"
                        return arrived
                    arrived += 1
                    deadline = time.monotonic() + limit
            if time.monotonic() >= deadline:
                ending.reason = f"it did not finish {doing} within {limit:g} s"
                break
    return arrived


def _keep_end(output: IO[bytes], ending: ChildExit) -> bool:
    """Take what the pipe holds now, keep the end of all, and return whether more may come."""
    chunk = output.read(1 << 20)
    ending.output = (ending.output + (chunk or b""))[-_KEPT:]
    return chunk != b""  # None: nothing for now; b"": the end


@contextlib.contextmanager
def answering(descriptor: int) -> Iterator[Callable[[bytes], None]]:
    """Yield, in the child, what writes one answer; a copy of the child that a plugin forked ends there instead."""
    owner = os.getpid()

    def answer(line: bytes) -> None:
        if os.getpid() != owner:
            os._exit(0)
        with memoryview(line + b"\n") as left:
            written = 0
            while written < len(left):
                written += os.write(descriptor, left[written:])

    yield answer
    os._exit(0)  # a plugin's threads and exit handlers have no say
