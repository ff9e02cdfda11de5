"""Signals: which ones ask to stop, and interrupting the main thread after some time."""

from __future__ import annotations

import _thread
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from genbench.system.means import uses_linux

# Ctrl-C; `kill` and batch systems; the end of the terminal; the warning of a batch system before its time limit;
# Ctrl-Break, which only Windows has. It has none of those after the second.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGBREAK")
STOP_SIGNALS = tuple(signal.Signals[name] for name in _NAMES if name in signal.Signals.__members__)
_KILL = signal.Signals.__members__.get("SIGKILL")  # Windows has none


def is_kill(code: int | None) -> bool:
    """Return whether a return code is that of a process that was killed at once, as for lack of memory."""
    return code is not None and _KILL is not None and code == -_KILL


def set_delivery(number: signal.Signals, delivered: bool) -> None:
    """Deliver a signal to this thread, or hold it back, as its children do from then on; only on Linux."""
    if uses_linux():
        signal.pthread_sigmask(signal.SIG_UNBLOCK if delivered else signal.SIG_BLOCK, {number})


@contextlib.contextmanager
def called_after(seconds: float, function: Callable[[], None]) -> Iterator[None]:
    """Call the function in the main thread, this one, after that time, and then every second until the block ends.

    It may raise an exception. A call that takes long, such as one of torch, ends first.
    """
    active = True

    def call(number: int, frame: FrameType | None) -> None:
        if active:
            function()

    if uses_linux():
        before = signal.signal(signal.SIGALRM, call)
        signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
        try:
            yield
        finally:
            active = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        return

    ended, interrupted = threading.Event(), threading.Event()
    interrupt = signal.getsignal(signal.SIGINT)

    def call_or_interrupt(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            interrupted.clear()
            call(number, frame)
        elif callable(interrupt):  # Ctrl-C
            interrupt(number, frame)

    def watch() -> None:
        pause = seconds
        while not ended.wait(pause):
            interrupted.set()
            _thread.interrupt_main()
            pause = 1.0

    signal.signal(signal.SIGINT, call_or_interrupt)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        active = False
        ended.set()
        watcher.join()
        signal.signal(signal.SIGINT, interrupt)
