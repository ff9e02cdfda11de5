"""What becomes of deliveries and jobs that an engine loses: exactly one complete result of each cell is accepted."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import msgspec
import pytest
from example_runs import identity
from simulated_nodes import (
    TOKENS,
    Clock,
    SimulatedProcess,
    begin,
    deliver,
    make_executor,
    planned,
    result_of,
    submission,
)

from genbench.api.jobs import JobRequest, JobState
from genbench.errors import UsageError
from genbench.process.messages import Activity, Finished, Job
from genbench.results.schema import RunRecord
from genbench.results.store import RunDirectory
from genbench.runner.executor_process import ExecutorFailed, Limits
from genbench.runner.jobs.job_folder import MESSAGES, RESULT, JobFolder
from genbench.runner.jobs.journal import Entry, Journal
from genbench.runner.jobs.schedule import Attempt
from genbench.runner.plugin_executor import FAILURES, PluginExecutor, give_up_jobs, resources_of
from genbench.runner.run_executor import Outcome, Submission

FINISHED, LOST = JobState(state="finished"), JobState(state="lost", reason="node n1 died")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    record = RunRecord(created="2026-01-01T00:00:00+00:00", genbench="0.1.0", profile="smoke", cells=[planned(0)])
    return RunDirectory.create(tmp_path / "run", record)


class Submitted:
    """One submitted job."""

    def __init__(self, run: RunDirectory, number: int = 0, limits: Limits | None = None) -> None:
        self.process, self.clock, self.warnings = SimulatedProcess(limits or Limits()), Clock(), list[str]()
        self.executor = make_executor(run, self.process, self.clock, self.warnings)
        self.submission = submission(number)
        self.token = self.submission.attempt.token
        assert self.executor.submit([self.submission]) == 1

    @property
    def request(self) -> JobRequest:
        return self.process.requests[self.token]

    def state(self, reported: JobState) -> JobState:
        self.process.states[self.token] = reported
        return self.executor.poll()[self.token]


def test_a_complete_delivery_is_accepted_and_its_files_are_moved(run: RunDirectory) -> None:
    job = Submitted(run)
    begin(job.request)
    assert job.state(JobState(state="running")).state == "running"
    deliver(job.request.folder, job.token, 0)
    assert job.state(FINISHED).state == "finished"
    outcome = job.executor.outcome(job.token)
    assert outcome.finished is not None and outcome.finished.cell == result_of(0)
    job.executor.forget(job.token)
    assert run.sample_path("gan-0").read_bytes() == b"contents"
    assert run.checkpoint_path("gan-0").is_file()
    assert not job.request.folder.exists()
    assert Journal(run.path / "jobs").open_jobs() == []


def test_the_speed_of_a_cell_on_a_shared_node_is_marked(run: RunDirectory) -> None:
    job = Submitted(run, limits=Limits(shared=True))
    deliver(job.request.folder, job.token, 0)
    job.state(FINISHED)
    finished = job.executor.outcome(job.token).finished
    assert finished is not None and finished.cell is not None and finished.cell.comparability is not None
    assert finished.cell.comparability.disturbed == "parallel"


def test_a_result_that_arrives_after_the_end_of_its_job_is_waited_for(run: RunDirectory) -> None:
    job = Submitted(run)
    begin(job.request)
    assert job.state(FINISHED).state == "running"
    job.clock.now += 29
    assert job.state(FINISHED).state == "running"
    deliver(job.request.folder, job.token, 0)
    assert job.state(FINISHED).state == "finished"


def test_a_job_whose_result_never_arrives_is_lost(run: RunDirectory) -> None:
    job = Submitted(run)
    begin(job.request)
    job.state(FINISHED)
    job.clock.now += 31
    found = job.state(JobState(state="finished", reason="status 1, Killed"))
    assert (found.state, found.reason) == ("lost", "it delivered no result: status 1, Killed")


def test_a_result_counts_soon_after_it_has_arrived_whatever_the_engine_says(run: RunDirectory) -> None:
    running = JobState(state="running", node="n1")
    job = Submitted(run)
    begin(job.request)
    deliver(job.request.folder, job.token, 0)
    assert job.state(running) == running
    job.clock.now += 31
    assert job.state(running).state == "finished"
    assert job.executor.outcome(job.token).finished is not None
    half = Submitted(run, number=1)
    begin(half.request)
    deliver(half.request.folder, half.token, 1)
    (half.request.folder / "samples" / "gan-1.png").write_bytes(b"cont")
    half.state(running)
    half.clock.now += 31
    assert half.state(running) == running


def test_a_job_that_runs_for_longer_than_it_can_is_cancelled_and_lost(run: RunDirectory) -> None:
    running, waiting = JobState(state="running"), JobState(state="pending")
    job = Submitted(run)
    job.state(running)
    job.clock.now += 600
    assert (job.state(waiting), job.state(running)) == (waiting, running)  # the engine has started it again
    job.clock.now += 659
    assert job.state(running) == running
    job.clock.now += 2
    assert job.state(running) == JobState(state="lost", reason="it still ran after 660 s")
    assert job.process.cancelled == [job.token]


def test_an_engine_that_takes_no_jobs_is_named_once(run: RunDirectory) -> None:
    said: list[str] = []
    clock = Clock()
    executor = make_executor(run, SimulatedProcess(takes=0), clock, said)
    for _ in range(4):
        assert executor.submit([submission(0)]) == 0
        clock.now += 31
    assert said == ["the executor 'simulated' takes no further jobs for now; they are offered again"]


def test_half_a_delivery_is_none(run: RunDirectory) -> None:
    job = Submitted(run)
    begin(job.request)
    deliver(job.request.folder, job.token, 0)
    sample = job.request.folder / "samples" / "gan-0.png"
    sample.write_bytes(b"cont")
    job.state(FINISHED)
    job.clock.now += 31
    found = job.state(FINISHED)
    assert found.state == "lost" and "samples/gan-0.png is missing or incomplete" in found.reason
    result = job.request.folder / RESULT
    result.write_bytes(result.read_bytes()[:-20])
    assert "cannot be read" in job.state(FINISHED).reason
    assert not run.sample_path("gan-0").exists()


def test_the_delivery_of_another_job_or_cell_is_refused(run: RunDirectory) -> None:
    job = Submitted(run)
    begin(job.request)
    deliver(job.request.folder, TOKENS[99], 0)
    job.state(FINISHED)
    job.clock.now += 31
    assert "another job" in job.state(FINISHED).reason
    for other in (result_of(1), msgspec.structs.replace(result_of(0), identity=identity("gan", seed=7))):
        deliver(job.request.folder, job.token, 0, Outcome(finished=Finished(cell=other)))
        found = job.state(FINISHED)
        assert (found.state, "another cell" in found.reason) == ("lost", True)


def test_a_lost_job_that_had_delivered_is_finished(run: RunDirectory) -> None:
    job = Submitted(run)
    begin(job.request)
    deliver(job.request.folder, job.token, 0)
    assert job.state(LOST).state == "finished"


def test_a_lost_job_leaves_its_checkpoint_for_the_next_attempt(run: RunDirectory) -> None:
    job = Submitted(run)
    (job.request.folder / "checkpoints" / "gan-0.resume.safetensors").write_bytes(b"step 40")
    (job.request.folder / "samples" / "gan-0.png").write_bytes(b"hal")
    assert job.state(LOST) == LOST
    job.executor.forget(job.token)
    assert run.resume_path("gan-0").read_bytes() == b"step 40"
    assert not run.sample_path("gan-0").exists()
    again = submission(0, attempt=2)
    job.executor.submit([again])
    place = job.process.requests[again.attempt.token].folder / "checkpoints" / "gan-0.resume.safetensors"
    assert place.read_bytes() == b"step 40"


def test_a_job_that_left_no_trace_is_a_failure_that_names_the_directory(run: RunDirectory) -> None:
    job = Submitted(run)
    job.state(FINISHED)
    job.clock.now += 31
    assert job.state(JobState(state="finished", reason="No such file")).state == "finished"
    how = job.executor.outcome(job.token).describe()
    assert str(job.request.folder) in how and "do the nodes share this directory" in how and "No such file" in how


def test_a_job_that_never_starts_is_cancelled_and_lost(run: RunDirectory) -> None:
    job = Submitted(run, limits=Limits(start_seconds=60))
    waiting = JobState(state="pending", reason="Resources")
    assert job.state(waiting) == waiting
    job.clock.now += 61
    found = job.state(waiting)
    assert (found.state, found.reason) == ("lost", "it did not start within 60 s: Resources")
    assert job.process.cancelled == [job.token]


def test_a_job_that_was_asked_to_stop_on_its_node_is_tried_again(run: RunDirectory) -> None:
    job = Submitted(run)
    begin(job.request)
    deliver(job.request.folder, job.token, 0, Outcome(stopped=True))
    job.state(FINISHED)
    job.clock.now += 31
    assert job.state(FINISHED).state == "lost"


def test_a_job_that_the_engine_ended_for_lack_of_memory_ran_out_of_it(run: RunDirectory) -> None:
    killed = JobState(state="oom", reason="n1: more than 2 GiB")
    job = Submitted(run)
    begin(job.request)
    assert job.state(killed).state == "finished"
    outcome = job.executor.outcome(job.token)
    assert (outcome.out_of_memory, outcome.notes) == (True, ["n1: more than 2 GiB"])
    delivered = Submitted(run, number=1)
    deliver(delivered.request.folder, delivered.token, 1)
    delivered.state(killed)
    assert delivered.executor.outcome(delivered.token).finished is not None


def test_messages_arrive_once_and_only_whole_ones(run: RunDirectory) -> None:
    job, seen = Submitted(run), []
    job.executor.on_message = lambda token, message: seen.append((token, message))
    place = job.request.folder / MESSAGES
    line = msgspec.json.encode(Activity("training"))
    place.write_bytes(line + b"\nnot a message\n" + line[:10])
    job.state(JobState(state="running"))
    with place.open("ab") as file:
        file.write(line[10:] + b"\n")
    job.state(JobState(state="running"))
    assert seen == [(job.token, Activity("training"))] * 2


def test_bytes_are_unpacked_only_where_they_belong(run: RunDirectory, tmp_path: Path) -> None:
    job = Submitted(run, limits=Limits(collects=True))
    node = JobFolder(tmp_path / "node")
    node.create_empty(b"{}")
    deliver(node.path, job.token, 0)
    job.process.collected[job.token] = node.pack()
    assert job.state(FINISHED).state == "finished"
    job.executor.outcome(job.token)
    assert run.sample_path("gan-0").is_file()
    for name in ("../../evil.py", "samples/../../evil.py", "samples/x/y", "/tmp/evil.py", "request.json"):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(name, "x")
        assert "unexpected file" in node.unpack(packed.getvalue())
    assert "cannot be unpacked" in node.unpack(b"PK not a zip")


def test_what_a_full_quota_did_not_take_leaves_no_folder(run: RunDirectory) -> None:
    process = SimulatedProcess(takes=1)
    executor = make_executor(run, process)
    assert executor.submit([submission(0), submission(1)]) == 1
    assert {path.name for path in (run.path / "jobs").iterdir() if path.is_dir()} == {submission(0).attempt.token}
    assert [job.attempt.task for job in Journal(run.path / "jobs").open_jobs()] == ["gan-0"]


def test_after_a_refusal_one_job_is_offered_until_the_engine_takes_it(run: RunDirectory) -> None:
    process = SimulatedProcess(takes=1)
    executor = make_executor(run, process)
    assert executor.submit([submission(0), submission(1), submission(2)]) == 1
    process.takes = 0
    assert executor.submit([submission(1), submission(2)]) == 0
    assert process.offered == 1
    process.takes = 100
    assert executor.submit([submission(1), submission(2), submission(3)]) == 1
    assert executor.submit([submission(2), submission(3)]) == 2


def test_jobs_that_are_refused_again_and_again_do_not_fill_the_journal(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genbench.runner.jobs.journal._MOST_BYTES", 4000)
    process = SimulatedProcess(takes=1)
    executor = make_executor(run, process)
    executor.submit([submission(0)])
    process.takes = 0
    for _ in range(300):
        assert executor.submit([submission(1)]) == 0
    journal = run.path / "jobs" / "journal.jsonl"
    assert journal.stat().st_size < 5000
    assert [job.attempt.task for job in Journal(journal.parent).open_jobs()] == ["gan-0"]


def test_the_journal_keeps_how_often_a_task_was_lost_until_its_next_job(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genbench.runner.jobs.journal._MOST_BYTES", 0)  # it is written again with each entry
    job = Submitted(run)
    job.executor.note_next(job.submission.attempt, 2)
    job.executor.forget(job.token)
    second = make_executor(run, SimulatedProcess(takes=0))
    assert second.next_attempts() == {"gan-0": 2}
    assert second.submit([submission(0, 2)]) == 0
    assert second.next_attempts() == {"gan-0": 2}  # the engine did not take it
    third = make_executor(run, SimulatedProcess())
    assert third.submit([submission(0, 3)]) == 1
    assert third.next_attempts() == {}


def test_a_failed_submission_is_revoked_because_the_engine_may_have_taken_it(run: RunDirectory) -> None:
    warnings: list[str] = []
    process = SimulatedProcess(failing={"submit"})
    executor = make_executor(run, process, warnings=warnings)
    for _ in range(FAILURES - 1):
        assert executor.submit([submission(0)]) == 0
        assert not [path for path in (run.path / "jobs").iterdir() if path.is_dir()]
    assert "no route to host" in warnings[0]
    with pytest.raises(ExecutorFailed, match="failed in submit"):
        executor.submit([submission(0)])
    assert Journal(run.path / "jobs").open_jobs() != []  # the resumed run removes its folder
    assert give_up_jobs(run) == 1
    assert not [path for path in (run.path / "jobs").iterdir() if path.is_dir()]


def test_states_are_unknown_while_the_engine_does_not_answer(run: RunDirectory) -> None:
    job = Submitted(run)
    job.process.failing = {"poll"}
    assert job.executor.poll() == {}
    job.process.failing = set()
    assert job.executor.poll() == {job.token: JobState(state="running")}


def test_a_new_process_takes_the_jobs_of_the_last_one_over(run: RunDirectory) -> None:
    first = Submitted(run)
    deliver(first.request.folder, first.token, 0)
    second = make_executor(run, SimulatedProcess(states={first.token: FINISHED}))
    assert [attempt.task for attempt in second.adopted()] == ["gan-0"]
    assert second.poll()[first.token].state == "finished"


def test_what_a_process_has_stopped_the_next_one_tries_again(run: RunDirectory) -> None:
    cancelled = JobState(state="cancelled", reason="by this user")
    first = Submitted(run)
    first.executor.request_stop()
    first.executor.close()  # a second Ctrl-C: it does not wait for the end of the job
    assert first.process.cancelled == [first.token]
    second = make_executor(run, SimulatedProcess(states={first.token: cancelled}))
    assert [attempt.task for attempt in second.adopted()] == ["gan-0"]
    assert second.poll()[first.token] == JobState(state="lost", reason="it was stopped with an earlier command")
    other = Submitted(run, number=1)
    assert other.state(cancelled) == cancelled


def test_a_new_process_gives_up_what_it_cannot_know(run: RunDirectory) -> None:
    first = Submitted(run)
    other = SimulatedProcess(name="another")
    assert make_executor(run, other).adopted() == []
    assert not first.request.folder.exists()
    # The driver died before the engine had named the job.
    folder = JobFolder(run.path / "jobs" / TOKENS[5])
    folder.create_empty(b"{}")
    Journal(run.path / "jobs").write([Entry(event="offered", token=TOKENS[5], task="gan-0", executor="simulated")])
    assert make_executor(run, SimulatedProcess()).adopted() == []
    assert not folder.path.exists()


def test_a_journal_from_elsewhere_removes_nothing_outside_its_folder(run: RunDirectory, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    Journal(run.path / "jobs").write([Entry(event="offered", token="../../precious", task="x", executor="simulated")])
    assert make_executor(run, SimulatedProcess()).adopted() == []
    assert precious.is_dir()


def test_jobs_that_do_not_confirm_their_end_are_not_waited_for_for_ever(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genbench.runner.plugin_executor.STOP_SECONDS", 0.0)
    job = Submitted(run)
    job.executor.request_stop()
    job.executor.cancel([job.token])
    assert job.process.cancelled == [job.token]
    assert job.state(JobState(state="running")).state == "lost"


def test_a_plugin_file_travels_and_must_be_the_planned_one(run: RunDirectory, tmp_path: Path) -> None:
    file = tmp_path / "plugin.py"
    file.write_text("text")
    plugin = {"name": "plugin", "origin": "file", "target": str(file), "distribution": "plugin.py", "version": "0" * 12}
    changed = submission(0)
    job = msgspec.structs.replace(changed.job, plugins=[plugin])
    executor: PluginExecutor = make_executor(run, SimulatedProcess())
    with pytest.raises(UsageError, match="has changed since the run was planned"):
        executor.submit([type(changed)(changed.attempt, "x", job, None)])


def test_the_needs_of_a_job_are_those_of_its_recipe_and_limits() -> None:
    cell = planned(0)
    recipe = {**cell.identity.recipe, "nproc": 2}
    cell = msgspec.structs.replace(cell, identity=msgspec.structs.replace(cell.identity, recipe=recipe))
    job = Job(task="cell", cell=cell, device="cuda:1", threads=3, memory_limit=8.0)
    submitted = Submission(Attempt(TOKENS[0], cell.id, 1), cell.id, job, 100, estimate=40.0, extensions=2)
    found = resources_of(submitted)
    assert (found.processes, found.cores, found.devices, found.device_type) == (2, 6, 2, "cuda")
    assert (found.memory, found.seconds, found.estimate, found.extensions) == (8.0, 700.0, 40.0, 2)
