"""Jobs that a real SLURM ends or loses: their cells go on from their checkpoints, and no job is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest
from command_line import TINY, WITH_FAULTS, Done, Going, children, run, start, wait_until, wait_until_gone
from slurm_cluster import SlurmCluster, events, wait_for_checkpoint

from genbench.results.saved_step import saved_step
from genbench.results.schema import CellResult

pytestmark = pytest.mark.slow

STEPS = 300
SLOW = {"FAULTS_SLOW": "1", "GENBENCH_CHECKPOINT_SECONDS": "0.1"}
SLURM = ("--executor", "slurm", "--set", "slurm.poll_seconds=1", "--set", "slurm.margin=0")
LONG = (*WITH_FAULTS, *SLURM, "--images", str(32 * STEPS))


def wait_for_job(cluster: SlurmCluster, going: Going) -> tuple[str, str]:
    """Wait until the only job trains and has saved its state; return its id and its node."""
    wait_for_checkpoint(going.run, going.process)
    ((job, _, node),) = cluster.running()
    return job, node


def tree(pid: int) -> list[int]:
    """Return a process and its descendants."""
    return [pid, *(found for child in children(pid) for found in tree(child))]


def send(number: int, processes: list[int]) -> None:
    """Send a signal to processes."""
    for process in processes:
        os.kill(process, number)


def resumed(done: Done) -> CellResult:
    """Return the only cell, which must have been trained to its end from a checkpoint."""
    (cell,) = done.run_cells
    assert (done.code, cell.status, cell.steps) == (0, "ok", STEPS), done.err
    assert cell.provenance is not None and cell.provenance.resumed_at_step
    return cell


def test_a_node_that_dies_loses_its_cell_and_does_no_harm_when_it_returns(
    cluster: SlurmCluster, tmp_path: Path
) -> None:
    going = start(*LONG, "--models", "slow", out=tmp_path / "run", **SLOW)
    _, node = wait_for_job(cluster, going)
    (job,) = [json.loads(path.read_text())["pid"] for path in going.run.glob("jobs/*/running.json")]
    frozen = tree(job)
    cluster.kill(node)
    send(signal.SIGSTOP, frozen)
    try:
        wait_until(lambda: events(going.run).count("submitted") == 2, going.process)
    finally:
        send(signal.SIGCONT, frozen)
    cell = resumed(going.end())
    assert cell.notes[-1] == f"an earlier job of this cell was lost: {node}: its node failed"
    wait_until_gone(frozen)
    cluster.start_node(node)


def test_a_preempted_job_goes_on_from_its_checkpoint(cluster: SlurmCluster, tmp_path: Path) -> None:
    going = start(*LONG, "--models", "slow", out=tmp_path / "run", **SLOW)
    wait_for_job(cluster, going)
    urgent = ("--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 2")
    cluster.command("sbatch", *urgent)
    cell = resumed(going.end())
    assert cell.notes[-1].endswith("it was preempted by another job")


def test_a_job_at_its_time_limit_saves_its_state_and_another_goes_on(
    cluster: SlurmCluster, run_at_its_time_limit: Going
) -> None:
    going = run_at_its_time_limit
    wait_until(lambda: events(going.run).count("submitted") >= 2, going.process, seconds=300)
    (saved,) = (going.run / "checkpoints").glob("*.resume.safetensors")
    before = saved_step(saved)
    assert before > 0
    wait_until(lambda: last_step(going.run) > before, going.process, seconds=300)
    limits = cluster.command("squeue", "--me", "-h", "--partition=apart", "--states=running", "-o", "%l").split()
    assert limits == ["4:00"]  # twice that of the first job
    os.kill(going.process.pid, signal.SIGINT)
    done = going.end()
    assert done.code == 130, done.err
    assert re.search(
        r"n4: it was asked to stop after \d:\d\d \(SLURM's time limit: 2:00\); it is tried again", done.err
    )
    wait_until(lambda: cluster.command("squeue", "--me", "-h", "--partition=apart") == "", seconds=30)


def last_step(directory: Path) -> int:
    """Return the step of the last window that a running job has reported."""
    text = "".join(path.read_text() for path in directory.glob("jobs/*/messages.jsonl"))
    return max(map(int, re.findall(r'"step":(\d+)', text)), default=0)


def test_slurm_does_not_requeue_jobs_but_may_be_told_to(cluster: SlurmCluster, tmp_path: Path) -> None:
    going = start(*LONG, "--models", "slow", out=tmp_path / "run", **SLOW)
    job, _ = wait_for_job(cluster, going)
    assert not cluster.succeeds("scontrol", "requeue", job)
    cluster.command("scontrol", "update", f"JobId={job}", "Requeue=1")
    cluster.command("scontrol", "requeue", job)
    wait_until(lambda: [state for _, state, _ in cluster.queue()] == ["PENDING"], going.process)
    cluster.command("scontrol", "update", f"JobId={job}", "StartTime=now")  # otherwise it waits for two minutes
    resumed(going.end())
    assert events(going.run).count("submitted") == 1  # the same job


def test_a_restarted_controller_interrupts_nothing(cluster: SlurmCluster, tmp_path: Path) -> None:
    beside = ("--set", "slurm.exclusive=false")
    going = start(*LONG, *beside, "--models", "slow", out=tmp_path / "run", **SLOW)
    wait_for_job(cluster, going)
    cluster.kill("slurmctld")
    other = run(*TINY, *SLURM, "--models", "vae", out=tmp_path / "other")
    assert (other.code, "SLURM does not answer" in other.err) == (2, True), other.err
    cluster.start_controller()
    done = going.end()
    (cell,) = done.run_cells
    assert (done.code, cell.steps) == (0, STEPS), done.err
    assert cell.comparability is not None and cell.comparability.disturbed == "parallel"
    assert events(going.run).count("submitted") == 1


def test_a_directory_that_is_not_shared_fails_the_cell(cluster: SlurmCluster, tmp_path: Path) -> None:
    if not cluster.start_unshared_node():
        pytest.skip("this system permits no mount namespaces")
    unshared = ("--set", "slurm.partition=unshared")
    done = run(*TINY, *SLURM, *unshared, "--models", "vae", out=cluster.private / "run")
    (cell,) = done.run_cells
    assert (done.code, cell.status) == (5, "failed"), done.err
    assert "n3: SLURM could not open" in (cell.reason or "") and "do the nodes share this directory?" in cell.reason
