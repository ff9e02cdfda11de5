"""Processor time: what counts and what does not."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from genbench.measure.processor_time import processor_seconds

SECONDS = 0.1


def work() -> None:
    """Use a known amount of processor time in the calling thread."""
    until = time.thread_time() + SECONDS
    while time.thread_time() < until:
        pass


def in_a_thread() -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def in_a_child_that_ends() -> None:
    code = f"import time\nwhile time.process_time() < {SECONDS}: pass"
    subprocess.run([sys.executable, "-S", "-c", code], check=True)


def used(what: Callable[[], object]) -> float:
    begin = processor_seconds()
    what()
    return processor_seconds() - begin


@pytest.mark.parametrize("portable", ["", "1"])
@pytest.mark.parametrize("kind", [work, in_a_thread, in_a_child_that_ends])
def test_threads_and_children_count(kind: Callable[[], None], portable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENBENCH_PORTABLE", portable)
    step = 0.02 if portable else 0.0  # of the clock that psutil reads
    assert SECONDS - step <= used(kind) < SECONDS + 2


def test_a_child_counts_while_it_lives() -> None:
    code = "import time\nwhile True: time.process_time()"
    begin = processor_seconds()
    with subprocess.Popen([sys.executable, "-S", "-c", code]) as child:
        deadline = time.monotonic() + 20
        while processor_seconds() - begin < SECONDS and time.monotonic() < deadline:
            time.sleep(0.01)
        alive = processor_seconds() - begin
        child.kill()
    ended = processor_seconds() - begin
    assert alive >= SECONDS
    assert ended >= alive - 1e-3  # reading getrusage rounds to microseconds


def test_waiting_does_not_count() -> None:
    assert used(lambda: time.sleep(0.2)) < 0.1
