"""How a worker's end is put into words, and what counts as running out of memory."""

from __future__ import annotations

import os
import signal

import pytest
import torch

from genbench.cell.failure import diagnose
from genbench.cell.memory_limits import is_out_of_memory
from genbench.process.exit_status import describe_status
from genbench.process.messages import Finished
from genbench.runner.pool import WorkerPool
from genbench.runner.worker_monitor import WorkerExit


def status_of(action: object) -> int:
    """Return what `os.waitpid` says of a process that ends in a certain way."""
    pid = os.fork()
    if pid == 0:
        if isinstance(action, signal.Signals):
            os.kill(os.getpid(), action)
        os._exit(action if isinstance(action, int) else 99)
    return os.waitpid(pid, 0)[1]


@pytest.mark.parametrize(
    ("action", "words"),
    [
        (signal.SIGKILL, "was ended by SIGKILL"),
        (signal.SIGTERM, "was ended by SIGTERM"),
        (0, "ended by itself with exit status 0"),
        (3, "ended by itself with exit status 3"),
    ],
)
def test_a_wait_status_in_words(action: object, words: str) -> None:
    status = status_of(action)
    assert describe_status(status) == words
    assert WorkerExit(status=status).describe() == f"the worker {words}"


def test_what_the_worker_or_the_template_said_comes_first() -> None:
    assert WorkerExit(finished=Finished(complaint="no such file"), status=0).describe() == "no such file"
    assert WorkerExit(complaint="the template is gone").describe() == "the template is gone"
    assert WorkerExit().describe() == "the worker vanished"


def test_errors_of_torch_and_python_that_mean_memory() -> None:
    for allocate in (lambda: torch.empty(2**50), lambda: bytearray(2**60)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            allocate()
        assert is_out_of_memory(caught.value)
        status, reason = diagnose(caught.value)
        assert status == "oom"
        assert "--batch-size" in reason
    assert not is_out_of_memory(RuntimeError("the memory of an elephant"))
    assert diagnose(ValueError("no")) == ("failed", "ValueError: no")


def test_a_template_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from genbench.runner.supervisor import UsageError, ask_devices

    monkeypatch.setattr("genbench.runner.pool._path_flags", lambda: ["-c", "raise ImportError('torch is broken')"])
    with WorkerPool() as pool, pytest.raises(UsageError, match=r"torch does not start: .*torch is broken"):
        ask_devices(pool)
