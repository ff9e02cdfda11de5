"""How the end of a process is described."""

from __future__ import annotations

import subprocess
import sys

import pytest

from genbench.process.exit_status import describe_exit


def code_of(action: str) -> int:
    """Return the return code of a process that ends in a certain way."""
    return subprocess.run([sys.executable, "-c", f"import os, signal; {action}"], check=False).returncode


@pytest.mark.parametrize(
    ("action", "code", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", -9, "was killed by SIGKILL"),
        ("signal.raise_signal(signal.SIGTERM)", -15, "was killed by SIGTERM"),
        ("os._exit(0)", 0, "exited with status 0"),
        ("os._exit(3)", 3, "exited with status 3"),
    ],
)
def test_a_return_code_is_described(action: str, code: int, words: str) -> None:
    assert code_of(action) == code
    assert describe_exit(code) == words


def test_a_signal_without_a_name_is_described_by_its_number() -> None:
    assert describe_exit(-40) == "was killed by signal 40"


def test_a_crash_on_windows_is_described_by_its_status() -> None:
    assert describe_exit(3221225477) == "crashed with status 0xC0000005"
