"""Signals: a function is called in the main thread after some time, and Ctrl-C works meanwhile."""

from __future__ import annotations

import signal
import sys
import time

import pytest

from genbench.system.signals import called_after, is_kill


class TimeIsUp(BaseException):
    pass


def expire() -> None:
    raise TimeIsUp


def test_a_function_is_called_when_the_time_is_up_and_then_no_more(means: str) -> None:
    begin = time.monotonic()
    with pytest.raises(TimeIsUp), called_after(0.1, expire):
        while time.monotonic() < begin + 30:
            time.sleep(0.01)
    assert 0.1 <= time.monotonic() - begin < 20
    with called_after(0.01, expire):
        pass
    time.sleep(0.05)


def test_ctrl_c_is_not_taken_for_the_end_of_the_time(means: str) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), called_after(60, expire):
        signal.raise_signal(signal.SIGINT)
        time.sleep(5)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_return_codes_of_processes_that_were_killed_at_once() -> None:
    assert is_kill(-signal.SIGKILL)
    assert not any(map(is_kill, (None, 0, 1, 137, -signal.SIGTERM)))
