"""The processor time of this process: user and system time of all its threads and of its child processes.

Linux keeps it in nanoseconds and brings it up to date whenever it is read (CLOCK_PROCESS_CPUTIME_ID, and the same clock
of each living child). Children that have ended are added in microseconds (getrusage).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from genbench.system.means import psutil, uses_linux

_SCHEDULED = 2  # CPUCLOCK_SCHED of the kernel's posix-timers.h: time in which the process was on a processor


def processor_seconds() -> float:
    """Return the processor time so far, of this process, its threads and its children; only differences mean something.

    Elsewhere than on Linux, it is in the steps of psutil, and on Windows without children that have ended.
    """
    if not uses_linux():
        return _by_psutil()
    import resource

    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    living = sum(_seconds_of(process) for process in _descendants("self"))
    return time.process_time() + ended.ru_utime + ended.ru_stime + living


def _by_psutil() -> float:
    times, library = os.times(), psutil()
    found = times.user + times.system + times.children_user + times.children_system
    for child in library.Process().children(recursive=True):
        with contextlib.suppress(library.Error):  # it has just ended
            used = child.cpu_times()
            found += used.user + used.system
    return float(found)


def _seconds_of(process: int) -> float:
    """Return the processor time of another process; 0.0 if it has just ended."""
    with contextlib.suppress(OSError):
        return time.clock_gettime(~process << 3 | _SCHEDULED)  # the number that clock_getcpuclockid(3) returns
    return 0.0


def _descendants(process: str) -> Iterator[int]:
    for path in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread or process that has just ended
            for child in path.read_text(encoding="ascii").split():
                yield int(child)
                yield from _descendants(child)
