"""Other processes: finding, killing and pausing them, and ending with the one that has started this one.

On Linux a killed process takes its process group with it. Elsewhere its descendants are found through psutil.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from genbench.system.means import psutil, uses_linux
from genbench.system.prctl import PR_SET_PDEATHSIG, prctl

PARENT = "GENBENCH_PARENT"  # environment variable of a child: the process that has started it; not used on Linux


def is_running(pid: int) -> bool:
    """Return whether a process of this machine runs; one that has ended and is not yet waited for does not."""
    if uses_linux():
        try:
            return _stat_fields(Path(f"/proc/{pid}/stat"))[0] not in "ZX"
        except OSError:
            return False
    library = psutil()
    try:
        return bool(library.Process(pid).status() not in (library.STATUS_ZOMBIE, library.STATUS_DEAD))
    except library.NoSuchProcess:
        return False


def descendants(pid: int) -> set[int]:
    """Return a process and all its descendants."""
    parents: dict[int, int] = {}
    if uses_linux():
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parents[int(path.parent.name)] = int(_stat_fields(path)[1])
    else:
        parents = {process.pid: process.info["ppid"] for process in psutil().process_iter(["ppid"])}
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def processes_with_variable(name: str, value: str) -> list[int]:
    """Return this user's other processes in whose environment the variable has this value or begins with it."""
    if uses_linux():
        wanted = f"{name}={value}".encode()
        return [pid for pid in _other_processes() if any(v.startswith(wanted) for v in _environment(pid))]
    library, found = psutil(), []
    for process in library.process_iter():
        # OSError: another user's, for which Windows and macOS have several errors of their own
        with contextlib.suppress(library.Error, OSError, SystemError):
            if process.pid != os.getpid() and process.environ().get(name, "").startswith(value):
                found.append(process.pid)
    return found


def _other_processes() -> list[int]:
    with contextlib.suppress(OSError):
        names = [path.name for path in Path("/proc").iterdir()]
        return [int(name) for name in names if name.isdecimal() and int(name) != os.getpid()]
    return []


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has exited, or is another user's
        return []


def kill_with_variable(name: str, value: str) -> None:
    """Kill every process of this user in whose environment the variable has this value or begins with it.

    It finds what a child has started in a session of its own, which killing the child's process group does not.
    """
    for _ in range(10):  # a process may start another before it is killed
        found = processes_with_variable(name, value)
        if not found:
            return
        for pid in found:
            kill(pid)


def kill(pid: int) -> None:
    """Kill a process at once, unless it has gone."""
    # Windows has no SIGKILL; what os.kill does there with any other signal ends the process at once, too.
    number = signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM
    with contextlib.suppress(OSError):
        os.kill(pid, number)


class Tree:
    """A process that this one has started as the leader of its own group, and everything that it has started."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._process: Any = None
        if not uses_linux():
            with contextlib.suppress(psutil().NoSuchProcess):
                self._process = psutil().Process(pid)  # not another one that gets its number later

    def kill(self) -> None:
        """Kill all of them at once."""
        self._each("SIGKILL", "kill")

    def pause(self) -> None:
        """Let all of them stop until `resume` is called."""
        self._each("SIGSTOP", "suspend")

    def resume(self) -> None:
        """Let all of them go on."""
        self._each("SIGCONT", "resume")

    def _each(self, number: str, method: str) -> None:
        """Send a signal to the process group; elsewhere than on Linux, call a method of psutil for each process."""
        if uses_linux():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.Signals[number])
            return
        if self._process is None:
            return
        library = psutil()
        members = [self._process]
        with contextlib.suppress(library.Error):
            members += self._process.children(recursive=True)
        for member in sorted(members, key=lambda member: member.pid == os.getpid()):  # this process last
            with contextlib.suppress(library.Error):
                getattr(member, method)()


def end_with_parent() -> None:
    """Let this process be killed as soon as the one that has started it ends, in whatever way."""
    if uses_linux():
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_end_after_parent, daemon=True).start()


def wait_for_parent() -> None:
    """Return when the process that has started this one has ended; not for Linux, where a connection tells."""
    library = psutil()
    with contextlib.suppress(library.NoSuchProcess, ValueError):
        library.Process(int(os.environ.get(PARENT, ""))).wait()


def _end_after_parent() -> None:
    wait_for_parent()
    Tree(os.getpid()).kill()
    os._exit(1)


def lower_priority() -> None:
    """Let other processes go first."""
    if sys.platform != "win32":
        os.nice(10)
    else:
        library = psutil()
        library.Process().nice(library.BELOW_NORMAL_PRIORITY_CLASS)


def keep_to_processors(pid: int, processors: Sequence[int]) -> None:
    """Let a process, and what it starts, use only these processors, where the system can do that: not on macOS."""
    with contextlib.suppress(OSError, AttributeError):
        if uses_linux():
            os.sched_setaffinity(pid, processors)
        else:
            library = psutil()
            with contextlib.suppress(library.Error):
                library.Process(pid).cpu_affinity([*processors])


def busy_share(pid: int, seconds: float, samples: int) -> float:
    """Return for which part of this time a process that leads its group computes; 0 where the system does not say.

    On Linux it is the share of samples in which a thread of the group is running or ready to run; elsewhere, the
    processor time of the process and its descendants.
    """
    if not uses_linux():
        before = _processor_seconds(pid)
        time.sleep(seconds)
        return min(1.0, max(0.0, _processor_seconds(pid) - before) / seconds)
    found = []
    for _ in range(samples):
        time.sleep(seconds / samples)
        found.append(any(state == "R" for state in _thread_states(pid)))
    return sum(found) / samples


def _processor_seconds(pid: int) -> float:
    library, seconds = psutil(), 0.0
    for member in descendants(pid):
        with contextlib.suppress(library.Error):
            times = library.Process(member).cpu_times()
            seconds += times.user + times.system
    return seconds


def _thread_states(group: int) -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):  # it has exited
            if int(_stat_fields(path)[2]) == group:
                yield from (_stat_fields(thread)[0] for thread in path.parent.glob("task/*/stat"))


def _stat_fields(path: Path) -> list[str]:
    """Return the fields of a process's or thread's stat file: state, parent, group …"""
    return path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
