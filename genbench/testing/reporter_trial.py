"""Trying a reporter on a run that never trains, in a process of its own as in a real one, and taking down what it does.

The run is interrupted and goes on, so that there are two processes, one after the other.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from genbench.plan.identity import origin
from genbench.results.schema import Choice
from genbench.testing.fake_run import FakeRun
from genbench.trackers import dispatch
from genbench.trackers.messages import TrackerEvent
from genbench.trackers.sandbox import NETWORK, SEEN, STRAY

if TYPE_CHECKING:
    from genbench.testing.subject import Subject

START_SECONDS = 60.0
PATIENCE = 5.0  # seconds beyond what a run waits, until nothing more is expected of it
END_SECONDS = 15.0  # a run waits for thirty: there is next to nothing to write here
REST, LOOKS = 0.3, 10  # seconds in which nothing happens after a window, and how often one looks meanwhile
_LINE = re.compile(r'File "([^"]+)", line (\d+)')
_HERE = str(Path(dispatch.__file__).parents[1])  # genbench's own lines say nothing


@dataclass
class Part:
    """What one process did."""

    unavailable: str = ""  # what `create` says is missing
    fault: str = ""  # 'window_finished: ValueError: …'; no event was told afterwards
    slow: str = ""  # 'window_finished took 1.3 s'
    endless: bool = False  # it did not end by itself
    busy: float = 0.0  # share of the time in which it was at work while nothing happened
    network: list[str] = field(default_factory=list)  # hosts that it asked for, in vain
    strays: list[str] = field(default_factory=list)  # files that it left in the working directory

    @property
    def event(self) -> str:
        """The event in which it failed, or 'create'."""
        return self.fault.partition(":")[0]


@dataclass
class ReporterTrial:
    """What a reporter did in a run and its resumption."""

    first: Part
    rest: Part
    changed: list[str]  # files of the run that are not as genbench wrote them
    lost: list[str]  # files of the first part that are shorter than half of what they were

    @property
    def parts(self) -> tuple[Part, Part]:
        """Both parts."""
        return self.first, self.rest


def run_trial(subject: Subject) -> ReporterTrial:
    """Tell the reporter of a made-up run in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        run = FakeRun(Path(folder, "run"), subject.catalogue)
        first, rest = _tell(subject, run, run.first_part()), Part()
        written, changed = run.others(), run.changed()
        if not (first.unavailable or first.fault or first.slow or first.endless or changed):
            rest = _tell(subject, run, run.rest())
            changed = run.changed()
        left = run.others()
        lost = [path.name for path, size in written.items() if left.get(path, 0) < size / 2]
    return ReporterTrial(first, rest, changed, lost)


def _tell(subject: Subject, run: FakeRun, events: Sequence[TrackerEvent]) -> Part:
    part, warnings = Part(), list[str]()
    choice = Choice(
        name=subject.name,
        options=subject.options("reporters", subject.spec),
        origin=origin(subject.entry.plugin),
    )
    log = run.directory.log_path(f"reporter-{subject.name}")
    log.unlink(missing_ok=True)
    tracker = dispatch.TrackerProcess(
        choice, subject.entry.plugin, run.directory, warnings.append, "genbench.trackers.sandbox"
    )
    try:
        tracker.wait_until_ready(time.monotonic() + START_SECONDS)
        _converse(tracker, events, part)
        if not tracker.disabled:
            tracker.end(time.monotonic() + END_SECONDS)
            part.endless = any("did not end" in warning for warning in warnings)
    finally:
        tracker.kill()
    part.unavailable = tracker.unavailable
    said = log.read_text(encoding="utf-8", errors="replace")
    if tracker.failure:
        part.fault = tracker.failure + _place(said)
    elif not (part.slow or part.unavailable):
        told_no_more = [warning.partition(dispatch.DISABLED)[0] for warning in warnings if dispatch.DISABLED in warning]
        part.fault = "".join(told_no_more[-1:])
    part.network, part.strays = _seen(said, NETWORK), _seen(said, STRAY)
    return part


def _converse(tracker: dispatch.TrackerProcess, events: Sequence[TrackerEvent], part: Part) -> None:
    """Tell the events one by one, each when the one before has been answered."""
    windows, quiet = list[float](), list[float]()
    for told in events:
        if tracker.disabled:
            return
        window = told.event == "window_finished"
        limit = _limit(told.event)
        begun = time.monotonic()
        tracker.send_event(told)
        answered = tracker.wait_until_answered(begun + limit + PATIENCE)
        seconds = time.monotonic() - begun
        if tracker.disabled:
            return
        if window:
            windows.append(seconds)
            if len(windows) > 2:  # what it begins to do late, such as an import, is over
                quiet.append(_share_of_rest_at_work(tracker.pid))
        slow = len(windows) > 1 and min(windows[-2:]) > limit if window else seconds > limit
        if slow or not answered:
            part.slow = f"{told.event} took {seconds:.1f} s" if answered else f"{told.event} went on beyond {limit:g} s"
            tracker.kill()
    part.busy = min(quiet, default=0.0)


def _limit(event: str) -> float:
    if event == "window_finished":
        return dispatch.WINDOW_SECONDS
    return END_SECONDS if event == "run_finished" else dispatch.EVENT_SECONDS


def _share_of_rest_at_work(group: int) -> float:
    """Return in which share of looks a thread of a process group wants a processor, had or not, while nothing is told.

    0 where the system does not tell.
    """
    looks = []
    for _ in range(LOOKS):
        time.sleep(REST / LOOKS)
        looks.append(any(state == "R" for state in _states(group)))
    return sum(looks) / LOOKS


def _states(group: int) -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError):  # it has ended
            if int(_fields(path)[2]) == group:
                yield from (_fields(thread)[0] for thread in path.parent.glob("task/*/stat"))


def _fields(path: Path) -> list[str]:
    """Return what the system says of a process or thread: state, parent, group …"""
    return path.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()


def _seen(said: str, what: str) -> list[str]:
    start = SEEN + what
    return list(dict.fromkeys(line.removeprefix(start) for line in said.splitlines() if line.startswith(start)))


def _place(said: str) -> str:
    """Return ' (file, line N)' of the innermost line of the plugin in the last traceback of a log."""
    found = [(file, line) for file, line in _LINE.findall(said) if not file.startswith((_HERE, "<"))]
    return f" ({Path(found[-1][0]).name}, line {found[-1][1]})" if found else ""
