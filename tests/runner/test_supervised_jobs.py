"""What the supervisor makes of the ends of jobs, with an engine that does what a test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from simulated_nodes import planned, result_of

from genbench.api.jobs import JobState
from genbench.errors import UsageError
from genbench.planning.identity import step_key
from genbench.plugins.catalogue import Catalogue
from genbench.process.messages import Activity, Finished
from genbench.report.progress import SilentDisplay
from genbench.results.schema import CellResult, PlannedReference, RunRecord
from genbench.results.store import RunDirectory
from genbench.runner import supervisor
from genbench.runner.jobs.schedule import Attempt
from genbench.runner.run_executor import Outcome, Receive, Submission
from genbench.runner.supervisor import Interrupted, Supervisor

LOST = JobState(state="lost", reason="node n1 died")
FINISHED = JobState(state="finished")


class ScriptedExecutor:
    """Ends each attempt at a cell as its script says: a state, or an outcome."""

    def __init__(self, script: dict[str, Sequence[JobState | Outcome]], capacity: int = 2) -> None:
        self.script, self.capacity, self.threads, self.limits_time = script, capacity, 1, False
        self.stop_requested = False
        self.on_message: Receive = lambda token, message: None
        self.on_stopping: Callable[[], None] = lambda: None
        self.jobs: dict[str, Attempt] = {}
        self.order: list[tuple[str, int]] = []
        self.times: list[tuple[float | None, int]] = []  # estimate and extensions of each job
        self.cancelled: list[str] = []
        self.before: list[Attempt] = []
        self.numbers: dict[str, int] = {}  # of next attempts, as the journal keeps them
        self.impossible = ""
        self.stop_after = 1000  # polls
        self.saves: list[int] = []  # steps in the checkpoint of each job that ends
        self.run = Path()
        self.said: list[str] = []  # what the display shows

    def problems(self, submissions: Sequence[Submission]) -> list[str]:
        return [self.impossible for _ in submissions]

    def adopted(self) -> Sequence[Attempt]:
        self.jobs |= {attempt.token: attempt for attempt in self.before}
        return self.before

    def next_attempts(self) -> dict[str, int]:
        return self.numbers

    def note_next(self, attempt: Attempt, number: int) -> None:
        self.numbers[attempt.task] = number

    def submit(self, submissions: Sequence[Submission]) -> int:
        for submission in submissions:
            self.jobs[submission.attempt.token] = submission.attempt
            self.order.append((submission.attempt.task, submission.attempt.number))
            self.times.append((submission.estimate, submission.extensions))
        return len(submissions)

    def wait(self) -> None:
        pass

    def _end_of(self, attempt: Attempt) -> JobState | Outcome:
        return self.script[attempt.task][attempt.number - 1]

    def poll(self) -> dict[str, JobState]:
        self.stop_after -= 1
        self.stop_requested |= self.stop_after <= 0
        states = {}
        for token, attempt in self.jobs.items():
            end = JobState(state="cancelled") if token in self.cancelled else self._end_of(attempt)
            states[token] = FINISHED if isinstance(end, Outcome) else end
        return states

    def outcome(self, token: str) -> Outcome:
        end = self._end_of(self.jobs[token])
        assert isinstance(end, Outcome)
        return end

    def forget(self, token: str) -> None:
        attempt = self.jobs.pop(token, None)
        if attempt is not None and self.saves:
            save_step(self.run / "checkpoints" / f"{attempt.task}.resume.safetensors", self.saves.pop(0))

    def cancel(self, tokens: Sequence[str]) -> None:
        self.cancelled += tokens

    def request_stop(self) -> None:
        self.stop_requested = True


def save_step(path: Path, step: int) -> None:
    """Write what the supervisor reads of a checkpoint."""
    save_file({"x": np.zeros(1)}, path, {"numbers": json.dumps({"step_number": step, "images_seen": 32 * step})})


class Said(SilentDisplay):
    """Keeps messages."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def ok(number: int) -> Outcome:
    return Outcome(finished=Finished(cell=result_of(number)))


@pytest.fixture
def execute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[dict[str, CellResult], list[str]]]:
    monkeypatch.setattr(supervisor, "plugins_behind", lambda catalogue, names: [])

    def run(
        executor: ScriptedExecutor,
        cells: int = 3,
        made_once: bool = False,
        tried: Mapping[bytes, float] | None = None,
        **changes: Any,
    ) -> tuple[dict[str, CellResult], list[str]]:
        record = RunRecord(
            created="2026-01-01T00:00:00+00:00", genbench="0.1.0", profile="smoke",
            cells=[planned(number) for number in range(cells)], timeout=60.0, **changes,
        )  # fmt: skip
        directory = RunDirectory(tmp_path / "run")
        if not directory.record_path.exists():
            directory = RunDirectory.create(tmp_path / "run", record)
        said = Said()
        executor.said = said.lines
        try:
            seconds = iter(range(10**6))  # one between two polls
            Supervisor(
                directory,
                record,
                Catalogue(),
                executor,
                said,
                "cpu",
                clock=lambda: next(seconds),  # type: ignore[arg-type]
                made_once=made_once,
                tried=tried,
            ).execute()
        finally:
            results = directory.read_cells().results
        return results, said.lines

    return run


def test_a_lost_job_is_tried_again_after_the_others_and_the_result_says_so(execute: Any) -> None:
    executor = ScriptedExecutor({"gan-0": [LOST, ok(0)], "gan-1": [ok(1)], "gan-2": [ok(2)]}, capacity=1)
    results, said = execute(executor)
    assert executor.order == [("gan-0", 1), ("gan-1", 1), ("gan-2", 1), ("gan-0", 2)]
    assert {result.status for result in results.values()} == {"ok"}
    assert results["gan-0"].notes[-1] == "an earlier job of this cell was lost: node n1 died"
    assert "node n1 died; it is tried again" in said[0]
    assert executor.jobs == {}


def test_a_cell_whose_jobs_are_all_lost_fails_and_the_others_go_on(execute: Any) -> None:
    results, _ = execute(ScriptedExecutor({"gan-0": [LOST] * 3, "gan-1": [ok(1)], "gan-2": [ok(2)]}))
    assert results["gan-0"].status == "failed"
    assert results["gan-0"].reason == "node n1 died (attempt 3 of 3)"
    assert results["gan-1"].status == results["gan-2"].status == "ok"


def test_jobs_that_got_on_do_not_count_as_lost_in_vain(execute: Any, tmp_path: Path) -> None:
    executor = ScriptedExecutor({"gan-0": [LOST] * 3, "gan-1": [ok(1)], "gan-2": [ok(2)]}, capacity=3)
    executor.run, executor.saves = tmp_path / "run", [10, 0, 0, 20, 20, 20, 20]
    results, _ = execute(executor)
    assert [number for task, number in executor.order if task == "gan-0"] == [1, 1, 1, 2, 3]
    assert results["gan-0"].reason == "node n1 died (attempt 3 of 3)"


def test_a_resumed_run_goes_on_counting_lost_jobs_and_an_interruption_is_none(execute: Any, tmp_path: Path) -> None:
    running = JobState(state="running")
    executor = ScriptedExecutor({"gan-0": [LOST, LOST, running]}, capacity=1)
    executor.stop_after = 6
    with pytest.raises(Interrupted):
        execute(executor, cells=1)
    assert executor.order == [("gan-0", 1), ("gan-0", 2), ("gan-0", 3)]
    resumed = ScriptedExecutor({"gan-0": [LOST] * 3}, capacity=1)
    resumed.numbers = executor.numbers
    results, _ = execute(resumed, cells=1)
    assert resumed.order == [("gan-0", 3)]
    assert results["gan-0"].reason == "node n1 died (attempt 3 of 3)"


TIMED_OUT = JobState(state="lost", reason="SLURM's time limit ended it", timed_out=True)


def test_a_job_at_the_time_limit_of_the_engine_is_followed_by_one_with_more_time(execute: Any) -> None:
    kind, images = step_key(planned(0).identity), planned(0).identity.recipe["images"]
    executor = ScriptedExecutor({"gan-0": [TIMED_OUT] * 3}, capacity=1)
    executor.limits_time = True
    results, said = execute(executor, cells=1, tried={kind: 0.5})
    # Six get twice the time of the one before; then two are tried again without progress, as after any other loss.
    assert executor.times == [(pytest.approx(0.5 * images), number) for number in (0, 1, 2, 3, 4, 5, 6, 6, 6)]
    assert results["gan-0"].status == "failed" and TIMED_OUT.reason in results["gan-0"].reason
    assert said[0].endswith("SLURM's time limit ended it; it is tried again")


def test_an_engine_that_limits_no_times_gets_no_estimates(execute: Any) -> None:
    executor = ScriptedExecutor({"gan-0": [ok(0)]})
    execute(executor, cells=1, tried={step_key(planned(0).identity): 0.5})
    assert executor.times == [(None, 0)]


def test_a_cancelled_job_is_not_tried_again(execute: Any) -> None:
    gone = JobState(state="cancelled", reason="by user 1000")
    executor = ScriptedExecutor({"gan-0": [gone], "gan-1": [ok(1)], "gan-2": [ok(2)]})
    results, _ = execute(executor)
    assert results["gan-0"].status == "failed" and "cancelled: by user 1000" in results["gan-0"].reason
    assert executor.order == [("gan-0", 1), ("gan-1", 1), ("gan-2", 1)]


def test_time_limit_memory_and_crash_are_results(execute: Any) -> None:
    ends = [Outcome(timed_out=True), Outcome(out_of_memory=True), Outcome(how="the worker exited with status 7")]
    results, _ = execute(ScriptedExecutor({f"gan-{n}": [end] for n, end in enumerate(ends)}))
    assert [results[f"gan-{n}"].status for n in range(3)] == ["timeout", "oom", "failed"]
    assert "exited with status 7; see " in results["gan-2"].reason


@pytest.mark.parametrize("made_once", [False, True])
def test_a_trial_that_runs_out_of_time_cannot_be_resumed(execute: Any, made_once: bool) -> None:
    results, _ = execute(ScriptedExecutor({"gan-0": [Outcome(timed_out=True)]}), cells=1, made_once=made_once)
    assert ("--resume" in results["gan-0"].reason) == (not made_once)
    assert ("counts as a trial without a value" in results["gan-0"].reason) == made_once


def test_what_ends_reference_rows_is_said_as_of_a_cell(execute: Any) -> None:
    rows = PlannedReference(
        id="mini-200", dataset=planned(0).identity.dataset, image_shape=(1, 8, 8), metrics=("cas",), samples=200
    )
    late = Outcome(timed_out=True, how="the worker exited with status 0")
    _, said = execute(ScriptedExecutor({"reference-mini-200": [late]}), cells=0, references=[rows])
    assert (
        f"no reference rows for {rows.dataset.name}: not done within 60 s; use `--resume` with a longer --timeout"
        in said[-1]
    )


def test_the_result_of_an_earlier_process_is_collected_instead_of_a_second_attempt(execute: Any) -> None:
    executor = ScriptedExecutor({"gan-0": [ok(0), ok(0)], "gan-1": [ok(1)], "gan-2": [ok(2)]})
    executor.before = [Attempt("before", "gan-0", 2), Attempt("useless", "gan-9", 1)]
    results, _ = execute(executor)
    assert executor.order == [("gan-1", 1), ("gan-2", 1)]
    assert executor.cancelled == ["useless"]
    assert len(results) == 3


def test_a_request_to_stop_cancels_every_job_once_and_keeps_the_results(execute: Any, tmp_path: Path) -> None:
    executor = ScriptedExecutor({"gan-0": [ok(0)], "gan-1": [JobState(state="running")], "gan-2": [ok(2)]}, capacity=2)
    executor.stop_after = 3
    with pytest.raises(Interrupted):
        execute(executor)
    assert len(executor.cancelled) == 1
    results = RunDirectory(tmp_path / "run").read_cells().results
    assert set(results) == {"gan-0", "gan-2"}
    assert executor.jobs == {}


def test_why_jobs_wait_is_said_once_if_they_still_do_after_a_while(execute: Any) -> None:
    script = {f"gan-{number}": [JobState(state="pending", reason="Priority")] for number in range(2)}
    executor = ScriptedExecutor({**script, "gan-2": [JobState(state="pending")]}, capacity=3)
    executor.stop_after = 50
    with pytest.raises(Interrupted):
        execute(executor)
    assert executor.said.count("2 jobs wait to start: Priority") == 1
    executor = ScriptedExecutor({**script, "gan-2": [JobState(state="pending")]}, capacity=3)
    executor.stop_after = 5
    with pytest.raises(Interrupted):
        execute(executor)
    assert executor.said == []


def test_what_can_never_run_is_said_before_anything_is_submitted(execute: Any) -> None:
    executor = ScriptedExecutor({})
    executor.impossible = "no node has 3 GPUs"
    with pytest.raises(UsageError, match="cannot be executed: no node has 3 GPUs"):
        execute(executor)
    assert executor.order == []


def test_messages_of_a_job_that_is_not_wanted_are_ignored(execute: Any) -> None:
    executor = ScriptedExecutor({"gan-0": [ok(0)], "gan-1": [ok(1)], "gan-2": [ok(2)]})
    execute(executor)
    executor.on_message("of a job that has ended", Activity("training"))
