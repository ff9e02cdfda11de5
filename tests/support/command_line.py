"""Running genbench for real, as a user does: in a process of its own, on cells of a second."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import forks
from forks import Command

from genbench.results.schema import CellResult, ReferenceResult, RunRecord
from genbench.results.store import RunDirectory
from genbench.system.means import psutil, uses_linux
from genbench.system.processes import is_running

GENBENCH = (sys.executable, "-m", "genbench")
FAULTS = Path(__file__).with_name("faults.py")
_FORKS = uses_linux()  # when the tests begin; the fixture `means` has commands do without what Linux has, in forks too

# Two steps on 64 real images, no metrics: half a second a cell. Loading a plugin that imports torch takes seconds.
TINY = (
    *("--profile", "smoke", "--images", "64", "--samples", "16", "--metrics", ""),
    *("--device", "cpu", "--threads", "1"),
)
WITH_FAULTS = (*TINY, "--plugin", str(FAULTS))


@dataclass(frozen=True)
class Done:
    """What came of a command."""

    code: int
    out: str
    err: str
    run: Path

    @property
    def record(self) -> RunRecord:
        """The plan that was written."""
        return RunDirectory(self.run).record

    @property
    def run_cells(self) -> list[CellResult]:
        """The results."""
        return list(RunDirectory(self.run).read_cells().results.values())

    @property
    def references(self) -> list[ReferenceResult]:
        """The reference rows."""
        return list(RunDirectory(self.run).read_references().results.values())

    @property
    def cells(self) -> dict[str, CellResult]:
        """The results, by the name of the model."""
        return {cell.identity.model.name: cell for cell in self.run_cells}


@dataclass
class Going:
    """A command that runs."""

    process: subprocess.Popen[str] | Command
    run: Path
    marks: Path

    def end(self, seconds: float = 120) -> Done:
        """Wait for its end, longer on a busy machine."""
        out, err = self.process.communicate(timeout=2 * seconds * slowness())
        return Done(self.process.returncode, out, err, self.run)

    def interrupt(self) -> None:
        """Do what Ctrl-C does."""
        self.process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))

    def mark(self, name: str) -> int:
        """Wait until a plugin leaves this mark, and return the process id in it."""
        path = self.marks / name
        wait_until(lambda: path.exists() and path.read_text() != "", self.process)
        return int(path.read_text())


def start(
    *arguments: str,
    out: Path,
    resume: bool = False,
    fresh: bool = False,
    namespaces_of: int | None = None,
    **variables: str,
) -> Going:
    """Start `genbench run` with a run directory and further environment variables.

    Args:
        fresh: start a program, for tests of what depends on that, instead of a fork that has imported torch.
        namespaces_of: process whose user and mount namespaces the command enters.
    """
    marks = out.parent / "marks"
    marks.mkdir(exist_ok=True)
    command = ["run", *arguments, "--resume" if resume else "--out", str(out)]
    environment = {**os.environ, "FAULTS_MARKS": str(marks), **variables}
    if not fresh and _FORKS:
        return Going(forks.start(command, environment, namespaces_of=namespaces_of), out, marks)
    pipe = subprocess.PIPE
    program = subprocess.Popen(
        [*GENBENCH, *command],
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        text=True,
        env=environment,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # for `Going.interrupt` on Windows
    )
    return Going(program, out, marks)


def run(*arguments: str, out: Path, resume: bool = False, seconds: float = 200, **how: Any) -> Done:
    """Run `genbench run` to its end; `how` is passed to `start`."""
    return start(*arguments, out=out, resume=resume, **how).end(seconds)


def slowness() -> float:
    """Return how many times longer a process computes now than on a quiet machine: others want its processor too."""
    started, used = time.monotonic(), time.process_time()
    while time.process_time() < used + 0.02:
        pass
    waited = (time.monotonic() - started) / (time.process_time() - used)
    return max(1.0, waited, os.getloadavg()[0] / (os.cpu_count() or 1) if hasattr(os, "getloadavg") else 1.0)


def wait_until(
    true: Callable[[], bool], process: subprocess.Popen[str] | Command | None = None, seconds: float = 180
) -> None:
    """Wait for something; fail when it takes too long, or when the process that should do it has ended.

    `seconds` is what it may take on a quiet machine.
    """
    started = time.monotonic()
    deadline = started + seconds
    while not true():
        ended = process is not None and process.poll() is not None
        if ended and not true():
            assert process is not None
            raise AssertionError(f"the process ended before: {process.communicate()}")
        if time.monotonic() > deadline:
            extended = started + seconds * slowness()
            assert extended > deadline, "waited too long"
            deadline = extended
        time.sleep(0.02)


alive = is_running


def children(pid: int) -> Iterator[int]:
    """Yield the processes whose parent this one is."""
    if not uses_linux():
        yield from (process.pid for process in psutil().process_iter(["ppid"]) if process.info["ppid"] == pid)
        return
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                yield int(path.parent.name)
        except OSError:
            continue


def template_of(pid: int) -> int:
    """Return the template process of a running `genbench run`; without one, the worker."""
    for child in children(pid):
        if not uses_linux():
            process = psutil().Process(child)
            if process.name() == "spawned_worker" or "genbench.runner.spawned_worker" in " ".join(process.cmdline()):
                return child
            continue
        process = Path("/proc", str(child))
        if b"genbench.runner.fork_server" in (process / "cmdline").read_bytes():
            return child
        if (process / "comm").read_text() == "fork_server\n":  # named by `forks`
            return child
    raise AssertionError("there is no template process")


def commands_with(text: str) -> list[str]:
    """Return the command lines of other processes in which a text occurs."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command and path.parent.name != str(os.getpid()):
            found.append(command)
    return found


def wait_until_gone(pids: Iterable[int], seconds: float = 15) -> None:
    """Fail unless every one of these processes ends soon."""
    pids = list(pids)
    wait_until(lambda: not any(map(alive, pids)), seconds=seconds)


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file's modification time and content."""
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
