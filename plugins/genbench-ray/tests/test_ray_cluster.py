"""Whole runs on a real Ray cluster of several nodes on this machine, with kills: nothing lost, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import TINY, WITH_FAULTS, alive, run, start, wait_until, wait_until_gone
from faulty_nodes import full_disk, other_numpy, python_path, require_skewed, skewed_clock
from ray_cluster import RayCluster, jobs_of, tree, wait_for_checkpoint

pytestmark = pytest.mark.slow

STEPS = 300
SLOW = {"FAULTS_SLOW": "1", "GENBENCH_CHECKPOINT_SECONDS": "0.1"}
LONG = (*WITH_FAULTS, "--models", "slow", "--images", str(32 * STEPS))


@pytest.fixture(scope="module")
def cluster(start_cluster: Callable[..., RayCluster], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    marks = tmp_path_factory.mktemp("marks")
    found = start_cluster(FAULTS_SLOW="1", FAULTS_MARKS=str(marks))
    found.add_node()
    yield found


def weights(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / "checkpoints").glob("*.safetensors")}


def events(directory: Path) -> list[str]:
    journal = directory / "jobs" / "journal.jsonl"
    return [json.loads(line)["event"] for line in journal.read_text().splitlines()]


def test_the_same_cells_and_weights_here_and_there(cluster: RayCluster, tmp_path: Path) -> None:
    plan = (*TINY, "--set", "vae.hidden=16", "--models")
    here = run(*plan, "vae,gan", out=tmp_path / "here")
    there = run(*plan, "vae,gan", *cluster.arguments(), out=tmp_path / "there")
    stored = run(*plan, "vae", *cluster.arguments(results="object-store"), out=tmp_path / "stored")
    assert (here.code, there.code, stored.code) == (0, 0, 0), there.err + stored.err
    assert [cell.id for cell in there.record.cells] == [cell.id for cell in here.record.cells]
    assert len(weights(here.run)) == 2
    assert weights(there.run) == weights(here.run)
    assert weights(stored.run).items() < weights(here.run).items()
    cluster.wait_until_free()


def test_a_node_that_is_killed_loses_its_cell_which_goes_on_elsewhere_from_its_checkpoint(
    cluster: RayCluster, tmp_path: Path
) -> None:
    doomed = cluster.add_node(resources={"doomed": 1})
    going = start(*LONG, *cluster.arguments(resources="doomed=1"), out=tmp_path / "run", **SLOW)
    wait_for_checkpoint(going.run, going.process)
    processes = [found for job in jobs_of(going.run) for found in tree(job)]
    cluster.kill_node(doomed)
    with cluster.node(resources={"doomed": 1}):
        done = going.end()
    (cell,) = done.run_cells
    assert (done.code, cell.status, cell.steps) == (0, "ok", STEPS), done.err
    assert len(cell.notes) and cell.notes[-1].startswith("an earlier job of this cell was lost: "), cell.notes
    assert cell.provenance is not None and cell.provenance.resumed_at_step
    wait_until_gone(processes)
    cluster.wait_until_free()


def test_a_worker_of_ray_that_is_killed_takes_its_job_along(cluster: RayCluster, tmp_path: Path) -> None:
    going = start(*LONG, *cluster.arguments(), out=tmp_path / "run", **SLOW)
    wait_for_checkpoint(going.run, going.process)
    ((job, worker),) = jobs_of(going.run).items()
    processes = tree(job)
    os.kill(worker, signal.SIGKILL)
    wait_until_gone(processes)
    done = going.end()
    (cell,) = done.run_cells
    assert (done.code, cell.status, cell.steps) == (0, "ok", STEPS), done.err
    assert "WorkerCrashedError" in cell.notes[-1]
    cluster.wait_until_free()


def test_a_second_driver_is_refused_and_one_that_is_killed_finds_its_running_job_again(
    cluster: RayCluster, tmp_path: Path
) -> None:
    going = start(*LONG, *cluster.arguments(), out=tmp_path / "run", fresh=True, **SLOW)
    wait_for_checkpoint(going.run, going.process)
    ((job, _),) = jobs_of(going.run).items()
    second = run(out=going.run, resume=True)
    assert (second.code, "Another genbench process is working on" in second.err) == (2, True), second.err
    os.kill(going.process.pid, signal.SIGKILL)
    going.end()
    assert [*jobs_of(going.run)] == [job]
    resumed = run(out=going.run, resume=True)
    (cell,) = resumed.run_cells
    assert (resumed.code, cell.steps) == (0, STEPS), resumed.err
    assert events(going.run) == ["offered", "submitted", "ended"]  # no second attempt
    assert cell.provenance is not None and cell.provenance.resumed_at_step is None
    cluster.wait_until_free()


@pytest.mark.parametrize("results", ["shared", "object-store"])
def test_ctrl_c_keeps_the_state_and_leaves_nothing_behind(cluster: RayCluster, tmp_path: Path, results: str) -> None:
    more = ("--seeds", "0,1")  # one of them waits
    going = start(*LONG, *more, *cluster.arguments(results=results), out=tmp_path / "run", **SLOW)
    if results == "shared":
        wait_for_checkpoint(going.run, going.process)
    else:
        (path := Path(os.environ["FAULTS_MARKS"], "training")).unlink(missing_ok=True)
        wait_until(path.exists, going.process)
    os.kill(going.process.pid, signal.SIGINT)
    done = going.end()
    assert done.code == 130, done.err
    assert len(list((going.run / "checkpoints").glob("*.resume.safetensors"))) == 1
    assert list((going.run / "jobs").iterdir()) == [going.run / "jobs" / "journal.jsonl"]
    cluster.wait_until_free()


def test_a_second_ctrl_c_ends_the_command_at_once_and_leaves_no_job(cluster: RayCluster, tmp_path: Path) -> None:
    going = start(*LONG, "--seeds", "0,1", *cluster.arguments(), out=tmp_path / "run", fresh=True, **SLOW)
    wait_for_checkpoint(going.run, going.process)
    processes = [found for job in jobs_of(going.run) for found in tree(job)]
    os.kill(going.process.pid, signal.SIGINT)
    os.kill(going.process.pid, signal.SIGINT)
    assert going.end().code == 130
    wait_until_gone(processes)
    wait_until(lambda: cluster.in_use()["CPU"] == 0)
    resumed = run(out=going.run, resume=True)
    assert (resumed.code, {cell.steps for cell in resumed.run_cells}) == (0, {STEPS}), resumed.err
    cluster.wait_until_free()


def test_a_node_that_returns_after_its_cell_was_given_to_another_does_no_harm(
    cluster: RayCluster, tmp_path: Path
) -> None:
    frozen = cluster.add_node(resources={"cold": 1})
    going = start(*LONG, *cluster.arguments(resources="cold=1"), out=tmp_path / "run", **SLOW)
    wait_for_checkpoint(going.run, going.process)
    before, (job,) = cluster.nodes(), jobs_of(going.run)
    processes = cluster.processes_of(frozen)
    assert job in processes
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        wait_until(lambda: cluster.nodes() < before, going.process, seconds=200)
        with cluster.node(resources={"cold": 1}):
            wait_until(lambda: {*jobs_of(going.run)} - {job} != set(), going.process, seconds=200)
            for process in processes:
                os.kill(process, signal.SIGCONT)
            done = going.end()
    finally:
        for process in filter(alive, processes):
            os.kill(process, signal.SIGCONT)
        cluster.kill_node(frozen)
    (cell,) = done.run_cells
    assert (done.code, cell.status, cell.steps) == (0, "ok", STEPS), done.err
    assert cell.provenance is not None and cell.provenance.resumed_at_step
    assert events(going.run).count("submitted") == 2
    wait_until_gone(processes)
    cluster.wait_until_free()


def test_a_job_that_ray_kills_for_lack_of_memory_ran_out_of_it(cluster: RayCluster, tmp_path: Path) -> None:
    little = {"RAY_memory_usage_threshold": "0.001", "RAY_memory_monitor_refresh_ms": "100"}
    with cluster.node(resources={"little": 1}, env_vars=little):
        done = run(*LONG, *cluster.arguments(resources="little=1"), out=tmp_path / "run", **SLOW)
    (cell,) = done.run_cells
    assert (done.code, cell.status) == (5, "oom"), (done.err, cell.reason)
    assert "OutOfMemoryError" in cell.notes[-1]
    cluster.wait_until_free()


def test_a_dry_run_asks_the_cluster_and_submits_nothing(cluster: RayCluster, tmp_path: Path) -> None:
    plan = (*TINY, "--models", "vae", "--dry-run")
    possible = run(*plan, *cluster.arguments(), out=tmp_path / "run")
    assert (possible.code, "with the executor 'ray'" in possible.out) == (0, True), possible.err
    refused = run(*plan, *cluster.arguments(resources="unicorn=2"), out=tmp_path / "run")
    assert (refused.code, "no node of the Ray cluster has 2 unicorn" in refused.out) == (5, True), refused.err
    cluster.wait_until_free()


def test_a_node_with_other_code_says_what_differs(cluster: RayCluster, tmp_path: Path) -> None:
    path = python_path(other_numpy(tmp_path / "node"))
    with cluster.node(resources={"other": 1}, env_vars={"PYTHONPATH": path}):
        done = run(*TINY, "--models", "vae", *cluster.arguments(resources="other=1"), out=tmp_path / "run")
    (cell,) = done.run_cells
    assert (done.code, cell.status) == (5, "failed")
    assert "the node has numpy 0.0.1 instead of" in cell.reason


@pytest.mark.parametrize("skew", [-900, 900])
def test_the_clocks_of_nodes_may_differ_by_minutes(cluster: RayCluster, tmp_path: Path, skew: int) -> None:
    path = python_path(skewed_clock(tmp_path / "node", skew))
    with cluster.node(resources={"skewed": 1}, env_vars={"PYTHONPATH": path}):
        done = run(*TINY, "--models", "vae", *cluster.arguments(resources="skewed=1"), out=tmp_path / "run")
    (cell,) = done.run_cells
    assert (done.code, cell.status) == (0, "ok"), done.err
    require_skewed(cell, skew)
    cluster.wait_until_free()


def test_a_node_with_a_full_disk_for_temporary_files_fails_the_cell_with_the_reason(
    cluster: RayCluster, tmp_path: Path
) -> None:
    path = python_path(full_disk(tmp_path / "node"))
    with cluster.node(resources={"full": 1}, env_vars={"PYTHONPATH": path}):
        done = run(*TINY, "--models", "vae", *cluster.arguments(resources="full=1"), out=tmp_path / "run")
    (cell,) = done.run_cells
    assert (done.code, cell.status) == (5, "failed"), done.err
    assert "No space left on device" in cell.reason and "(attempt 3 of 3)" in cell.reason
    cluster.wait_until_free()


def test_what_no_node_has_is_said_before_submission(cluster: RayCluster, tmp_path: Path) -> None:
    done = run(*TINY, "--models", "vae", *cluster.arguments(resources="unicorn=2"), out=tmp_path / "run")
    assert done.code == 2
    assert "no node of the Ray cluster has 2 unicorn (the most of any: 0 unicorn)" in done.err
    assert not (tmp_path / "run" / "jobs").exists()


def test_with_autoscaling_a_cell_waits_for_its_node(cluster: RayCluster, tmp_path: Path) -> None:
    waiting = cluster.arguments(resources="late=1", autoscaling="true")
    going = start(*TINY, "--models", "vae", *waiting, out=tmp_path / "run")
    wait_until(lambda: (going.run / "jobs").exists() and "submitted" in events(going.run), going.process)
    with cluster.node(resources={"late": 1}):
        done = going.end()
    assert done.code == 0, done.err
    assert done.run_cells[0].notes == []


def test_a_cell_that_does_not_start_in_time_fails_and_leaves_nothing(cluster: RayCluster, tmp_path: Path) -> None:
    never = cluster.arguments(resources="never=1", autoscaling="true", start_seconds="1")
    done = run(*TINY, "--models", "vae", *never, out=tmp_path / "run")
    (cell,) = done.run_cells
    assert (done.code, cell.status) == (5, "failed")
    assert "it did not start within 1 s" in cell.reason
    assert "no node has 1 CPU, 1 never free" in cell.reason
    cluster.wait_until_free()


def test_a_directory_that_a_node_does_not_see_is_said(cluster: RayCluster, tmp_path: Path) -> None:
    with cluster.node_without(tmp_path, "apart"):
        plan = (*TINY, "--models", "vae")
        done = run(*plan, *cluster.arguments(resources="apart=1"), out=tmp_path / "run")
        (cell,) = done.run_cells
        assert (done.code, cell.status) == (5, "failed")
        assert "is the directory shared?" in cell.reason
        stored = run(*plan, *cluster.arguments(resources="apart=1", results="object-store"), out=tmp_path / "stored")
        assert stored.code == 0, stored.err
        assert len(weights(stored.run)) == 1
