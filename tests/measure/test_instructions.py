"""The counter of instructions, where there is one; its machinery with an event that every Linux kernel counts."""

from __future__ import annotations

import ctypes
import platform
import threading
import time

import pytest

from genbench.measure import instructions
from genbench.measure.instructions import InstructionCounter, InstructionsUnavailable

TASK_CLOCK = (1, 1)  # PERF_TYPE_SOFTWARE, PERF_COUNT_SW_TASK_CLOCK: nanoseconds on a processor


def counter_of(*event: int) -> InstructionCounter:
    try:
        return InstructionCounter(*event)
    except InstructionsUnavailable as error:
        pytest.skip(str(error))


def busy(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


def test_threads_that_start_later_are_counted() -> None:
    counter = counter_of(*TASK_CLOCK)
    begin = counter.read()
    thread = threading.Thread(target=busy, args=(0.05,))
    thread.start()
    thread.join()
    busy(0.05)
    end = counter.read()
    counter.close()
    assert begin is not None
    assert end is not None
    assert 0.1e9 <= end - begin < 5e9


def test_more_work_takes_more_instructions() -> None:
    counter = counter_of()
    counts = []
    for rounds in (100_000, 200_000):
        begin = counter.read()
        for _ in range(rounds):
            pass
        end = counter.read()
        counts.append(None if begin is None or end is None else end - begin)
    counter.close()
    if None in counts:
        pytest.skip("another program uses the counter")
    assert counts[1] / counts[0] == pytest.approx(2, rel=0.1)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("error", "reason"), [(1, "perf_event_paranoid"), (2, "no such counter"), (24, "Too many open files")]
)
def test_a_counter_that_cannot_be_opened_says_why(error: int, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        def __init__(self, *_: object, **__: object) -> None: ...

        def syscall(self, *_: object) -> int:
            ctypes.set_errno(error)
            return -1

    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(instructions.ctypes, "CDLL", Library)
    with pytest.raises(InstructionsUnavailable, match=reason):
        InstructionCounter()


def test_other_systems_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    with pytest.raises(InstructionsUnavailable, match="Darwin"):
        InstructionCounter()
