"""Rules of reporters, tried on a run that never trains: see `genbench.testing.reporter_trial`."""

from __future__ import annotations

from genbench.testing.check import check
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.reporter_trial import ReporterTrial
from genbench.testing.subject import Subject
from genbench.trackers import dispatch

BUSY = 0.5  # of the time in which nothing happens
BEGINNING = ("create", "run_started", "cell_started", "window_finished")  # told of again when a run goes on


@check(
    "reporter-contract",
    "reporters",
    what="`create(run, options)` returns an object with a method for an event at least, and none that is misspelt.",
    why="A method that no event calls is never heard of again, and what it should write is missing.",
    mend="Compare the names with the table of events in docs/plugins.md; each method takes one record.",
)
def reporter_contract(subject: Subject) -> None:
    """Create it."""
    fault = subject.trial.first.fault
    if fault.startswith("create: SpecError"):
        raise RuleViolation(fault.partition(": ")[2])
    if "positional argument" in fault and "TypeError" in fault:
        raise RuleViolation(fault)


@check(
    "reporter-offline",
    "reporters",
    what="Without a network it works, or `create` raises ReporterUnavailable before anything is trained.",
    why="A tracker that cannot be reached must cost nobody a run, and a machine for training often has no way out.",
    mend="Write to files unless an option asks for a server, or turn the error into ReporterUnavailable in `create`.",
    after=("reporter-contract",),
)
def reporter_offline(subject: Subject) -> None:
    """Let no connection out."""
    for part in subject.trial.parts:
        if part.fault and part.network:
            raise RuleViolation(f"it asks for {part.network[0]}, and then: {part.fault}")


@check(
    "reporter-events",
    "reporters",
    what="It can be told everything that happens: warm-up, no finite term, a failed cell, an interruption, the end.",
    why="A reporter that raises is told no more: the rest of the run is missing from the tracker.",
    mend="Expect terms of any name or none, standard errors that are None, and results without throughput.",
    after=("reporter-offline",),
)
def reporter_events(subject: Subject) -> None:
    """Tell it all of that."""
    first, rest = _available(subject).parts
    if first.fault:
        raise RuleViolation(first.fault)
    if rest.fault and rest.event not in BEGINNING:
        raise RuleViolation(rest.fault)


@check(
    "reporter-answers",
    "reporters",
    what=f"A window is dealt with within {dispatch.WINDOW_SECONDS:g} s, another event in {dispatch.EVENT_SECONDS:g} s.",
    why="Training waits meanwhile, and no longer: then what the reporter does slows down the windows that are timed.",
    mend="Write to files or to memory when a window has finished; send what is slow when the cell has.",
    after=("reporter-events",),
)
def reporter_answers(subject: Subject) -> None:
    """Time two windows in a row, and the other events."""
    for part in _available(subject).parts:
        if part.slow:
            raise RuleViolation(part.slow)


@check(
    "reporter-idle",
    "reporters",
    what="Between events it does nothing: no thread or process of it computes.",
    why="The next window is being timed, on the same processors.",
    mend="Do the work in the method that is called, and start no thread that looks for work.",
    after=("reporter-answers",),
)
def reporter_idle(subject: Subject) -> None:
    """Look whether it is at work after windows, when nothing is told."""
    busy = max(part.busy for part in _available(subject).parts)
    if busy > BUSY:
        raise RuleViolation("after a window a thread or a process of it goes on computing")


@check(
    "reporter-place",
    "reporters",
    what="It writes below the run's directory or where an option says, and changes none of genbench's own files.",
    why="The working directory is anywhere, and what tables and resumption are made from must stay what was measured.",
    mend="Write to `run.path / ...`, under a name of your own.",
    after=("reporter-events",),
)
def reporter_place(subject: Subject) -> None:
    """Look into the working directory, and at the files of the run."""
    trial = _available(subject)
    strays = [stray for part in trial.parts for stray in part.strays]
    if strays:
        raise RuleViolation(f"it writes into the working directory: {strays[0]}")
    if trial.changed:
        raise RuleViolation(f"it changes the run's own file {trial.changed[0]}")


@check(
    "reporter-resumes",
    "reporters",
    what="When a run goes on, it goes on too: what it has written is no obstacle, and is still there afterwards.",
    why="`--resume` creates it anew in the same directory; what was told before is not told again.",
    mend="Open files to append, make folders with exist_ok=True, and go on with the tracker's run of that cell.",
    after=("reporter-events", "reporter-place"),
)
def reporter_resumes(subject: Subject) -> None:
    """Create it a second time."""
    trial = _available(subject)
    if trial.rest.fault and trial.rest.event in BEGINNING:
        raise RuleViolation(f"the second time: {trial.rest.fault}")
    if trial.lost:
        raise RuleViolation(f"of {trial.lost[0]} most that the first part of the run had written is gone")


@check(
    "reporter-ends",
    "reporters",
    what="After the last event its process ends by itself.",
    why="The run waits for it at its end, and then kills it with whatever it has not written.",
    mend="Close the tracker and join threads in `run_finished`.",
    after=("reporter-answers",),
)
def reporter_ends(subject: Subject) -> None:
    """Wait for its end."""
    if any(part.endless for part in _available(subject).parts):
        raise RuleViolation("its process does not end: a thread, or an exit handler, goes on")


def _available(subject: Subject) -> ReporterTrial:
    """Return what was seen; raise `NotApplicable` where nothing was, for it lacks something."""
    if subject.trial.first.unavailable:
        raise NotApplicable(f"it says what it lacks: {subject.trial.first.unavailable}")
    return subject.trial
