"""Rules of executors, checked with jobs that only sleep and end: see `genbench.testing.executor_trial`."""

from __future__ import annotations

import time
from dataclasses import replace

from genbench.api.jobs import JobHandle, Resources
from genbench.runner.executor_process import Call, exit_seconds
from genbench.runner.run_executor import TrialJob
from genbench.system.processes import is_running
from genbench.testing.check import check
from genbench.testing.executor_trial import Trial, limit_seconds, trial_of
from genbench.testing.findings import NotApplicable, RuleViolation
from genbench.testing.subject import Subject

_SHORT = TrialJob(0.2)
_ENDLESS = TrialJob(600.0)
_UNKNOWN = "no-such-job-0"


def _require_third_party(subject: Subject) -> None:
    if subject.entry.plugin.origin == "builtin":
        raise NotApplicable("it runs in the process of the command, which its own tests check")


@check(
    "executor-contract",
    "executors",
    what="`create(setup, options)` returns an object with `submit`, `poll` and `cancel`, which accept empty lists.",
    why="The run ends when a method is missing or raises an exception again and again.",
    fix="Compare the methods and attributes with `Executor` in docs/reference.md.",
)
def executor_contract(subject: Subject) -> None:
    """Create the executor, and call its methods without jobs."""
    _require_third_party(subject)
    with trial_of(subject) as trial:
        for method in ("submit", "poll", "cancel"):
            trial.process.call(Call(method=method))
        trial.process.call(Call(method="check", needs=[Resources(), Resources(devices=1, device_type="cuda")]))


@check(
    "executor-runs",
    "executors",
    what="Every job that `submit` took runs exactly once, has a name of its own, and is then 'finished'.",
    why="A job that runs twice wastes a node; one that never ends holds up the run.",
    fix="Return one name for each job that the engine took, in their order, and fewer if it took fewer.",
    after=("executor-contract",),
)
def executor_runs(subject: Subject) -> None:
    """Run more jobs than may be submitted at the same time, up to three."""
    _require_third_party(subject)
    with trial_of(subject) as trial:
        tokens = trial.submit(_SHORT, _SHORT, _SHORT)
        names = [trial.executor.handle_of(token).job for token in tokens]
        if len(set(names)) < len(names) or "" in names:
            raise RuleViolation(f"submit returned the names {names}: each job needs one of its own")
        for state in trial.wait(tokens, "jobs of a fraction of a second"):
            if state.state != "finished":
                raise RuleViolation(f"a job that ended by itself is reported as '{state.state}' ({state.reason})")
        for token in tokens:
            outcome = trial.executor.outcome(token)
            if outcome.finished is None:
                raise RuleViolation(f"a job did not run: {outcome.describe()}")
            starts = len([*(trial.folder(token).path / "logs").glob("*.log")])
            if starts != 1:
                raise RuleViolation(f"a job was started {starts} times")


@check(
    "executor-failures",
    "executors",
    what="A job that fails or is killed ends as 'finished' or 'lost', and other jobs go on.",
    why="A killed job is tried again, but one that is reported as running would be waited for for ever.",
    fix="Map every end that the engine knows to a state; 'cancelled' means that somebody cancelled the job.",
    after=("executor-runs",),
)
def executor_failures(subject: Subject) -> None:
    """Let one job fail, another be killed, and a third one succeed."""
    _require_third_party(subject)
    with trial_of(subject) as trial:
        tokens = trial.submit(TrialJob(0.2, status=7), TrialJob(0.2, status=-9), TrialJob(1.0))
        failed, killed, sound = trial.wait(tokens, "a job that failed, one that was killed and a sound one")
        for what, state in (("failed", failed), ("was killed", killed)):
            if state.state == "cancelled":
                raise RuleViolation(f"a job that {what} is reported as cancelled")
        if sound.state != "finished":
            raise RuleViolation(f"beside jobs that failed, a sound one is reported as '{sound.state}' ({sound.reason})")


@check(
    "executor-cancels",
    "executors",
    what="`cancel` ends a job, and does nothing to jobs that have ended or that the engine does not know.",
    why="Ctrl-C must leave no job behind, and a job may end just before it is cancelled.",
    fix="Ask the engine to end the job and all its processes, and ignore that it does not know one.",
    after=("executor-runs",),
)
def executor_cancels(subject: Subject) -> None:
    """Cancel a running job, twice, and one that does not exist."""
    _require_third_party(subject)
    with trial_of(subject) as trial:
        (token,) = trial.submit(_ENDLESS)
        _wait_for_start(trial, token)
        pid = trial.process_of(token)
        trial.executor.cancel([token])
        trial.wait([token], "a cancelled job")
        if pid is not None and _outlives(pid):
            raise RuleViolation("the process of a cancelled job still runs")
        trial.executor.cancel([token])
        unknown = JobHandle(token="0" * 16, job=_UNKNOWN, folder=trial.place / "jobs" / ("0" * 16))
        trial.process.call(Call(method="cancel", handles=[unknown]))


@check(
    "executor-reattaches",
    "executors",
    what="Another process that creates the executor finds a job by its name, or reports it as 'lost' if it has ended.",
    why="A resumed run takes the jobs of a killed one over; otherwise each would run a second time.",
    fix="Let `submit` return a name that the engine knows, keep nothing in memory only; unknown jobs are 'lost'.",
    after=("executor-runs",),
)
def executor_reattaches(subject: Subject) -> None:
    """Close the executor while a job runs, create it again, and ask for the job and for one that never existed."""
    _require_third_party(subject)
    with trial_of(subject) as trial:
        (token,) = trial.submit(TrialJob(3.0))
        _wait_for_start(trial, token)
        pid = trial.process_of(token)
        trial.executor.close()
        trial.open()
        if [attempt.token for attempt in trial.executor.adopted()] != [token]:
            raise RuleViolation("the name of the job is lost")
        (state,) = trial.wait([token], "a job that an earlier process had submitted")
        if state.state not in ("finished", "lost"):
            raise RuleViolation(f"a job that an earlier process had submitted is reported as '{state.state}'")
        if state.state == "lost" and pid is not None and _outlives(pid):
            raise RuleViolation("a job that an earlier process had submitted is reported as 'lost', but still runs")
        unknown = JobHandle(token="0" * 16, job=_UNKNOWN, folder=trial.place / "jobs" / ("0" * 16))
        (found,) = trial.process.call(Call(method="poll", handles=[unknown])).states
        if found.state in ("pending", "running", "cancelled"):
            raise RuleViolation(f"a job that the engine does not know is reported as '{found.state}'")


@check(
    "executor-other-runs",
    "executors",
    what="`poll` reports a job of another run as 'lost', and `cancel` leaves it alone.",
    why="The journal of a run directory from elsewhere may name any job of the user.",
    fix="Give jobs a name that contains `setup.run_name`, and compare it before anything else.",
    after=("executor-cancels", "executor-reattaches"),
)
def executor_other_runs(subject: Subject) -> None:
    """Let one run ask for a job of another, and cancel it."""
    _require_third_party(subject)
    with trial_of(subject) as trial, trial_of(subject) as other:
        (token,) = trial.submit(TrialJob(3.0))
        _wait_for_start(trial, token)
        handle = replace(trial.executor.handle_of(token), folder=other.folder(token).path)
        (found,) = other.process.call(Call(method="poll", handles=[handle])).states
        if found.state != "lost":
            raise RuleViolation(f"a job of another run is reported as '{found.state}'")
        other.process.call(Call(method="cancel", handles=[handle]))
        (state,) = trial.wait([token], "a job that another run has tried to cancel")
        if state.state != "finished" or trial.executor.outcome(token).finished is None:
            raise RuleViolation("another run could cancel a job")


@check(
    "executor-collects",
    "executors",
    what="`collect` returns the same bytes again when it is called twice.",
    why="A reply may be lost, or a resumed run may ask for the result of a job that has been collected before.",
    fix="Keep the bytes until the executor is closed.",
    after=("executor-runs",),
)
def executor_collects(subject: Subject) -> None:
    """Collect the result of a job twice."""
    _require_third_party(subject)
    with trial_of(subject) as trial:
        if not trial.process.limits.collects:
            raise NotApplicable("results are delivered through the shared directory")
        (token,) = trial.submit(_SHORT)
        trial.wait([token], "a job of a fraction of a second")
        call = Call(method="collect", handles=[trial.executor.handle_of(token)])
        first, second = (trial.process.call(call).collected for _ in range(2))
        if first is None or first != second:  # the trial has collected it before, as a run would
            raise RuleViolation("a further call of collect returned something else than the first")


@check(
    "executor-closes",
    "executors",
    what="The executor's process exits after `close`.",
    why="At its end the run waits for the process, then kills it, and the engine's library cannot clean up.",
    fix="End threads and connections in `close`.",
    after=("executor-contract",),
)
def executor_closes(subject: Subject) -> None:
    """Wait for the process to exit."""
    _require_third_party(subject)
    with trial_of(subject) as trial:
        if not trial.process.close():
            raise RuleViolation(f"its process did not exit within {exit_seconds():g} s")


def _wait_for_start(trial: Trial, token: str) -> None:
    """Wait until a job runs; one whose executor collects results leaves no trace here."""

    def started() -> bool:
        if token in trial.ends:
            raise RuleViolation(f"a running job is reported as '{trial.ends[token].state}'")
        seen = trial.look().get(token)
        return trial.folder(token).running() is not None or (
            trial.process.limits.collects and seen is not None and seen.state == "running"
        )

    trial.wait_until(started, "a job did not start")


def _outlives(pid: int) -> bool:
    """Whether a process still runs after a while."""
    deadline = time.monotonic() + min(30.0, limit_seconds())
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    return is_running(pid)
