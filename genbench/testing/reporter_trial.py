"""Trying a reporter on a simulated run, in a process of its own as in a real run, and recording what it does.

The run is interrupted and resumed, so the reporter runs in two processes, one after the other.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakKeyDictionary

from genbench.planning.identity import origin
from genbench.results.schema import Choice
from genbench.system.processes import busy_share
from genbench.testing.fake_run import FakeRun
from genbench.testing.subject import Subject
from genbench.trackers import dispatch
from genbench.trackers.messages import TrackerEvent
from genbench.trackers.sandbox import NETWORK, SEEN, STRAY

START_SECONDS = 60.0
GRACE_SECONDS = 5.0  # beyond the time limit of an event, before an answer is no longer expected
END_SECONDS = 15.0  # a run allows thirty, but here there is next to nothing to write
IDLE_SECONDS, IDLE_SAMPLES = 0.3, 10  # how long, and how often, activity is sampled after a window


@dataclass
class TrialPart:
    """What the reporter did in one process."""

    unavailable: str = ""  # what `create` reports as missing
    fault: str = ""  # 'window_finished: ValueError: …'; no further events were sent
    slow: str = ""  # 'window_finished took 1.3 s'
    never_exits: bool = False  # the process did not exit after the last event
    busy: float = 0.0  # share of the samples between events in which it was computing
    network: list[str] = field(default_factory=list)  # hosts that it tried to reach; access was refused
    strays: list[str] = field(default_factory=list)  # files that it wrote to the working directory

    @property
    def event(self) -> str:
        """The event in which it failed, or 'create'."""
        return self.fault.partition(":")[0]


@dataclass
class ReporterTrial:
    """What a reporter did in a run and after it was resumed."""

    first: TrialPart
    resumed: TrialPart
    changed: list[str]  # genbench's own files that the reporter changed
    lost: list[str]  # its files from the first part that are now less than half as long

    @property
    def parts(self) -> tuple[TrialPart, TrialPart]:
        """Both parts."""
        return self.first, self.resumed


_trials: WeakKeyDictionary[Subject, ReporterTrial] = WeakKeyDictionary()


def trial_of(subject: Subject) -> ReporterTrial:
    """Return the trial of a reporter; it takes seconds, and is run once per subject."""
    if subject not in _trials:
        _trials[subject] = _run_trial(subject)
    return _trials[subject]


def _run_trial(subject: Subject) -> ReporterTrial:
    """Send the reporter the events of a simulated run in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        run = FakeRun(Path(folder, "run"), subject.catalogue)
        first, resumed = _run_part(subject, run, run.events_until_interruption()), TrialPart()
        written, changed = run.reporter_files(), run.changed_files()
        if not (first.unavailable or first.fault or first.slow or first.never_exits or changed):
            resumed = _run_part(subject, run, run.events_after_resuming())
            changed = run.changed_files()
        left = run.reporter_files()
        lost = [path.name for path, size in written.items() if left.get(path, 0) < size / 2]
    return ReporterTrial(first, resumed, changed, lost)


def _run_part(subject: Subject, run: FakeRun, events: Sequence[TrackerEvent]) -> TrialPart:
    """Start a process for the reporter, send it the events, and wait for its exit."""
    part, warnings = TrialPart(), list[str]()
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
        _send_events(tracker, events, part)
        if not tracker.disabled:
            before = len(warnings)
            tracker.end(time.monotonic() + END_SECONDS)
            part.never_exits = len(warnings) > before  # every event is answered: nothing else is left to warn about
    finally:
        tracker.kill()
    part.unavailable = tracker.unavailable
    output = log.read_text(encoding="utf-8", errors="replace")
    if tracker.failure:
        part.fault = tracker.failure
    elif not (part.slow or part.unavailable):
        given_up = [warning.partition(dispatch.DISABLED)[0] for warning in warnings if dispatch.DISABLED in warning]
        part.fault = "".join(given_up[-1:])
    part.network, part.strays = _sandbox_records(output, NETWORK), _sandbox_records(output, STRAY)
    return part


def _send_events(tracker: dispatch.TrackerProcess, events: Sequence[TrackerEvent], part: TrialPart) -> None:
    """Send the events one by one, each after the previous one has been answered; time the answers."""
    windows, busy_shares = list[float](), list[float]()
    for sent in events:
        if tracker.disabled:
            return
        is_window = sent.event == "window_finished"
        limit = _time_limit(sent.event)
        start = time.monotonic()
        tracker.send_event(sent)
        answered = tracker.wait_until_answered(start + limit + GRACE_SECONDS)
        seconds = time.monotonic() - start
        if tracker.disabled:
            return
        if is_window:
            windows.append(seconds)
            if len(windows) > 2:  # by now, work that starts late, such as an import, is done
                busy_shares.append(busy_share(tracker.pid, IDLE_SECONDS, IDLE_SAMPLES))
        # A single slow window may be an accident; two in a row are not.
        slow = len(windows) > 1 and min(windows[-2:]) > limit if is_window else seconds > limit
        if slow or not answered:
            part.slow = (
                f"{sent.event} took {seconds:.1f} s" if answered else f"{sent.event} took longer than {limit:g} s"
            )
            tracker.kill()
    part.busy = min(busy_shares, default=0.0)


def _time_limit(event: str) -> float:
    if event == "window_finished":
        return dispatch.WINDOW_SECONDS
    return END_SECONDS if event == "run_finished" else dispatch.EVENT_SECONDS


def _sandbox_records(output: str, kind: str) -> list[str]:
    """Return what the sandbox recorded of this kind, each once."""
    start = SEEN + kind
    return list(dict.fromkeys(line.removeprefix(start) for line in output.splitlines() if line.startswith(start)))
