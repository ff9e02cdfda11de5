"""What Ray executes on a node: the process of one job."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

_LOOK_SECONDS = 1.0  # between looks at whether the job is cancelled: Ray does not interrupt a wait
_STOP_SECONDS = 90.0  # for a cancelled job to save its state
_MOST_OUTPUT = 4096  # bytes at the end of a job's output


class JobEnd(NamedTuple):
    """How the process of a job ended."""

    status: int  # negative: killed by this signal
    output: str  # its last lines
    node: str
    packed: bytes | None  # what it delivers without a shared directory


def execute(owner: Any, token: str, command: Sequence[str], payload: bytes) -> JobEnd:
    """Run a job in a process of its own; `payload`: of a job without a shared directory, or empty.

    Ray's cancellation becomes SIGTERM of that process, upon which the job saves its state.
    """
    import ray

    node = socket.gethostname()
    owner.note_start.remote(token, node, ray.get_runtime_context().get_node_id())
    with tempfile.TemporaryDirectory(prefix="genbench-ray-") as place:
        result = Path(place, "result")
        if payload:
            Path(place, "payload").write_bytes(payload)
            command = (sys.executable, "-P", "-m", "genbench_ray.unshared", f"{place}/payload", str(result))
        else:
            command = (sys.executable, *command[1:])  # the driver's Python may be elsewhere on this node
        with Path(place, "output").open("w+b") as output:
            status = _run(command, output.fileno())
            output.seek(max(0, output.seek(0, os.SEEK_END) - _MOST_OUTPUT))
            text = output.read().decode(errors="replace")
        return JobEnd(status, text, node, result.read_bytes() if result.exists() else None)


def _run(command: Sequence[str], output: int) -> int:
    """Run a command to its end and return its status; a cancellation of the task ends it with SIGTERM."""
    cancelled, ended = threading.Event(), threading.Event()

    def wait() -> None:
        process.wait()
        ended.set()

    with _interrupts_call(cancelled.set):
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "genbench_ray.bound", str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        threading.Thread(target=wait, daemon=True).start()
        while not ended.wait(_LOOK_SECONDS) and not cancelled.is_set():
            pass
        if not ended.is_set():
            process.terminate()
            if not ended.wait(_STOP_SECONDS):
                process.kill()
                ended.wait()
    return process.returncode


@contextlib.contextmanager
def _interrupts_call(function: Callable[[], None]) -> Iterator[None]:
    """Meanwhile Ray's cancellation, which raises KeyboardInterrupt in the main thread, calls a function instead."""

    def handle(number: int, frame: FrameType | None) -> None:
        function()

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
