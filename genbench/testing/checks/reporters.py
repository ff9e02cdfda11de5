"""Rules of reporters, checked on a simulated run: see `genbench.testing.reporter_trial`."""

from __future__ import annotations

from genbench.testing.check import check
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.reporter_trial import ReporterTrial, trial_of
from genbench.testing.subject import Subject
from genbench.trackers.dispatch import EVENT_SECONDS, WINDOW_SECONDS

BUSY = 0.5  # share of the samples between events
STARTING = ("create", "run_started", "cell_started", "window_finished")  # repeated when a run is resumed


@check(
    "reporter-contract",
    "reporters",
    what="`create(run, options)` returns an object with a method for at least one event, and none is misspelt.",
    why="A misspelt method is never called, and what it should record is missing.",
    fix="Compare the names with the table of events in docs/plugins.md; each method takes one record.",
)
def reporter_contract(subject: Subject) -> None:
    """Create the reporter."""
    fault = trial_of(subject).first.fault
    if fault.startswith("create: SpecError"):
        raise RuleViolation(fault.partition(": ")[2])
    if "(event) cannot be called: " in fault:
        raise RuleViolation(fault)


@check(
    "reporter-offline",
    "reporters",
    what="Without a network the reporter works, or `create` raises ReporterUnavailable before training starts.",
    why="A tracker that cannot be reached must not cost a run; many training machines have no internet access.",
    fix="Write to files unless an option names a server, or raise ReporterUnavailable in `create`.",
    after=("reporter-contract",),
)
def reporter_offline(subject: Subject) -> None:
    """Refuse all network connections."""
    for part in trial_of(subject).parts:
        if part.fault and part.network:
            raise RuleViolation(f"it tries to reach {part.network[0]}, then fails: {part.fault}")


@check(
    "reporter-events",
    "reporters",
    what="The reporter handles every event: warm-up, no finite terms, a failed cell, an interruption, the end.",
    why="After an exception a reporter receives no further events: the rest of the run is missing from the tracker.",
    fix="Expect any term names or none, standard errors of None, and results without throughput.",
    after=("reporter-offline",),
)
def reporter_events(subject: Subject) -> None:
    """Send all of these events."""
    first, resumed = _available_trial(subject).parts
    if first.fault:
        raise RuleViolation(first.fault)
    if resumed.fault and resumed.event not in STARTING:
        raise RuleViolation(resumed.fault)


@check(
    "reporter-answers",
    "reporters",
    what=f"A window is handled within {WINDOW_SECONDS:g} s, any other event within {EVENT_SECONDS:g} s.",
    why="Training waits no longer than that: after this time, the reporter's work slows down timed windows.",
    fix="Write to files or memory when a window has finished; do slow work when the cell has finished.",
    after=("reporter-events",),
)
def reporter_answers(subject: Subject) -> None:
    """Time consecutive windows, and the other events."""
    for part in _available_trial(subject).parts:
        if part.slow:
            raise RuleViolation(part.slow)


@check(
    "reporter-idle",
    "reporters",
    what="Between events the reporter is idle: none of its threads or processes computes.",
    why="The next window is being timed on the same processors.",
    fix="Do the work in the method that is called, and start no thread that polls for work.",
    after=("reporter-answers",),
)
def reporter_idle(subject: Subject) -> None:
    """Sample its activity after windows, while no event is sent."""
    busy = max(part.busy for part in _available_trial(subject).parts)
    if busy > BUSY:
        raise RuleViolation("after a window one of its threads or processes keeps computing")


@check(
    "reporter-place",
    "reporters",
    what="The reporter writes to the run directory, or where an option says, and changes none of genbench's own files.",
    why="The working directory can be anywhere, and tables and `--resume` rely on the files of the run.",
    fix="Write to `run.path / ...`, under a name that genbench does not use.",
    after=("reporter-events",),
)
def reporter_place(subject: Subject) -> None:
    """Look for files in the working directory, and for changes of the run's own files."""
    trial = _available_trial(subject)
    strays = [stray for part in trial.parts for stray in part.strays]
    if strays:
        raise RuleViolation(f"it writes to the working directory: {strays[0]}")
    if trial.changed:
        raise RuleViolation(f"it changes the run's own file {trial.changed[0]}")


@check(
    "reporter-resumes",
    "reporters",
    what="When a run is resumed, the reporter continues: it accepts its existing files, and keeps their content.",
    why="`--resume` creates the reporter again in the same directory; earlier events are not sent again.",
    fix="Append to files, create folders with exist_ok=True, and continue the tracker's run of the cell.",
    after=("reporter-events", "reporter-place"),
)
def reporter_resumes(subject: Subject) -> None:
    """Create the reporter a second time."""
    trial = _available_trial(subject)
    if trial.resumed.fault and trial.resumed.event in STARTING:
        raise RuleViolation(f"after resuming: {trial.resumed.fault}")
    if trial.lost:
        raise RuleViolation(f"most of what the first part of the run wrote to {trial.lost[0]} is gone")


@check(
    "reporter-ends",
    "reporters",
    what="The reporter's process exits after the last event.",
    why="At its end the run waits for the process, then kills it; unwritten data are lost.",
    fix="Close the tracker and join threads in `run_finished`.",
    after=("reporter-answers",),
)
def reporter_ends(subject: Subject) -> None:
    """Wait for the process to exit."""
    if any(part.never_exits for part in _available_trial(subject).parts):
        raise RuleViolation("its process does not exit: a thread or an exit handler keeps it running")


def _available_trial(subject: Subject) -> ReporterTrial:
    """Return the trial; raise `NotApplicable` if the reporter is unavailable here."""
    trial = trial_of(subject)
    if trial.first.unavailable:
        raise NotApplicable(f"the reporter is unavailable: {trial.first.unavailable}")
    return trial
