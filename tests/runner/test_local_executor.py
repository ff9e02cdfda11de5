"""Cells side by side on one machine: each device has one cell, each cell its part of the machine, and all is stated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from simulated_nodes import planned, result_of, submission

from genbench.errors import UsageError
from genbench.planning.request import make_request
from genbench.process.messages import Finished, Job, Message
from genbench.runner import local_executor
from genbench.runner.local_executor import LocalExecutor, Sharing
from genbench.runner.pool import WorkerPool
from genbench.runner.worker_monitor import WorkerExit


class Recorder:
    """Takes the place of the pools' workers: notes each job with the processors of its pool."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.jobs: list[tuple[Job, frozenset[int] | None, float | None]] = []
        recorder = self

        def begin(
            pool: WorkerPool, job: Job, on_message: Callable[[Message], None], timeout: float | None = None
        ) -> Any:
            recorder.jobs.append((job, pool.processors, timeout))
            assert job.cell is not None
            exit = WorkerExit(finished=Finished(cell=result_of(job.cell.identity.seed)), status=0)
            return SimpleNamespace(exited=False, worker_exit=lambda: exit, end=lambda: None)

        monkeypatch.setattr(WorkerPool, "begin", begin)
        monkeypatch.setattr(WorkerPool, "ended", lambda pool, monitor: None)
        monkeypatch.setattr(local_executor, "wait_for_messages", self.finish)
        monkeypatch.setattr(local_executor, "default_threads", lambda: 4)
        monkeypatch.setattr(local_executor, "usable_processors", lambda: frozenset(range(4)))

    def finish(self, monitors: list[Any]) -> None:
        for monitor in monitors:
            monitor.exited = True


def executed(executor: LocalExecutor, count: int) -> list[str]:
    """Execute jobs side by side and return what is stated about their speeds."""
    submissions = [submission(number) for number in range(count)]
    assert executor.submit(submissions) == count
    executor.wait()
    marks = []
    for each in submissions:
        finished = executor.outcome(each.attempt.token).finished
        assert finished is not None and finished.cell is not None and finished.cell.comparability is not None
        marks.append(finished.cell.comparability.disturbed)
    executor.close()
    return marks


def test_two_devices_run_one_cell_each_and_are_not_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    executor = LocalExecutor(WorkerPool(), tmp_path, "cuda:0", Sharing(devices=["cuda:0", "cuda:1"]))
    assert (executor.capacity, executor.threads) == (2, 2)
    assert executed(executor, 2) == ["", ""]
    assert [(job.device, share) for job, share, _ in recorder.jobs] == [
        ("cuda:0", frozenset({0, 1})),
        ("cuda:1", frozenset({2, 3})),
    ]
    assert {job.turn for job, _, _ in recorder.jobs} == {""}


def test_more_cells_than_devices_take_turns_on_each_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    sharing = Sharing(parallel=4, devices=["cuda:0", "cuda:1"])
    assert executed(LocalExecutor(WorkerPool(), tmp_path, "cuda:0", sharing), 4) == ["turns"] * 4
    turns = [(job.device, Path(job.turn).name) for job, _, _ in recorder.jobs]
    assert turns == [("cuda:0", "turn-cuda-0.lock"), ("cuda:1", "turn-cuda-1.lock")] * 2
    assert {timeout for _, _, timeout in recorder.jobs} == {120.0}  # of 60 s, for two that take turns
    assert not (tmp_path / "jobs").exists()


def test_cells_on_the_cpu_share_its_memory_and_are_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    monkeypatch.setattr(local_executor, "available_bytes", lambda: 10 * 2**30)
    sharing = Sharing(parallel=2, timing="shared")
    assert executed(LocalExecutor(WorkerPool(), tmp_path, "cpu", sharing), 2) == ["parallel"] * 2
    assert [job.memory_limit for job, _, _ in recorder.jobs] == [4.5, 4.5]
    assert {timeout for _, _, timeout in recorder.jobs} == {60.0}


def test_a_cell_that_was_alone_is_not_marked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Recorder(monkeypatch)
    assert executed(LocalExecutor(WorkerPool(), tmp_path, "cpu", Sharing(parallel=2)), 1) == [""]


@pytest.mark.parametrize(
    ("sharing", "threads", "in_process", "said"),
    [
        (Sharing(parallel=5), None, False, "5 cells at a time need 5 processors; 4 are usable"),
        (Sharing(parallel=2), 3, False, "need 6 processors, 3 for each"),
        (Sharing(parallel=2), None, True, "--in-process runs one cell"),
        (Sharing(devices=["cuda:0"]), None, False, "'cuda:0' is not of the run's type 'cpu'"),
    ],
)
def test_what_this_machine_cannot_do_is_said_before(
    sharing: Sharing, threads: int | None, in_process: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Recorder(monkeypatch)
    with pytest.raises(UsageError, match=said):
        sharing.require_possible([planned(0)], "cpu", threads, in_process)


def test_flags_are_options_of_local_and_name_the_device(tmp_path: Path) -> None:
    asked = make_request({"devices": "cuda:0,cuda:1", "parallel": 4, "timing": "shared"})
    assert asked.set == {"local": {"devices": ["cuda:0", "cuda:1"], "parallel": 4, "timing": "shared"}}
    assert asked.device == "cuda:0"
    assert make_request({"parallel": 2}, ["local.parallel=3"]).set["local"]["parallel"] == 3
    for given, said in (
        ({"devices": "cuda:0,cpu"}, "different types: cpu, cuda"),
        ({"devices": "cuda:0", "device": "cpu"}, "not among --devices"),
        ({"parallel": 2, "executor": "slurm"}, "an option of the executor 'local', not of 'slurm'"),
    ):
        with pytest.raises(UsageError, match=said):
            make_request(given)
