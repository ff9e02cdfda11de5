"""How the end of a process is described."""

from __future__ import annotations

import os
import signal

import pytest

from genbench.process.exit_status import describe_exit, describe_wait_status


def wait_status_of(action: object) -> int:
    """Return the wait status of a process that ends in a certain way."""
    pid = os.fork()
    if pid == 0:
        if isinstance(action, signal.Signals):
            os.kill(os.getpid(), action)
        os._exit(action if isinstance(action, int) else 99)
    return os.waitpid(pid, 0)[1]


@pytest.mark.parametrize(
    ("action", "code", "words"),
    [
        (signal.SIGKILL, -9, "was killed by SIGKILL"),
        (signal.SIGTERM, -15, "was killed by SIGTERM"),
        (0, 0, "exited with status 0"),
        (3, 3, "exited with status 3"),
    ],
)
def test_a_wait_status_and_a_return_code_are_described_alike(action: object, code: int, words: str) -> None:
    assert describe_wait_status(wait_status_of(action)) == describe_exit(code) == words


def test_a_signal_without_a_name_is_described_by_its_number() -> None:
    assert describe_exit(-40) == "was killed by signal 40"
