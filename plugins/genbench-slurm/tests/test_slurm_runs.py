"""Whole runs on a real SLURM of two nodes on this machine, with faults: nothing lost, no job left behind."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from command_line import TINY, WITH_FAULTS, Done, Going, children, run, start, wait_until, wait_until_gone
from slurm_cluster import SlurmCluster, wait_for_checkpoint

from genbench.results.schema import CellResult

pytestmark = pytest.mark.slow

STEPS = 300
SLOW = {"FAULTS_SLOW": "1", "GENBENCH_CHECKPOINT_SECONDS": "0.1"}
SLURM = ("--executor", "slurm", "--set", "slurm.poll_seconds=1")
LONG = (*WITH_FAULTS, *SLURM, "--images", str(32 * STEPS))


def weights(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / "checkpoints").glob("*.safetensors")}


def events(directory: Path) -> list[str]:
    journal = directory / "jobs" / "journal.jsonl"
    return [json.loads(line)["event"] for line in journal.read_text().splitlines()]


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


def test_the_same_cells_and_weights_here_and_there(cluster: SlurmCluster, tmp_path: Path) -> None:
    plan = (*TINY, "--models", "vae,gan", "--set", "vae.hidden=16")
    here = run(*plan, out=tmp_path / "here")
    there = run(*plan, *SLURM, out=tmp_path / "it's 100% there")
    assert (here.code, there.code) == (0, 0), there.err
    assert len(weights(here.run)) == 2
    assert weights(there.run) == weights(here.run)
    assert [cell.id for cell in there.record.cells] == [cell.id for cell in here.record.cells]
    names = [json.loads(line).get("job") for line in (there.run / "jobs" / "journal.jsonl").read_text().splitlines()]
    arrays = {name.partition("_")[0] for name in names if name}
    assert len(arrays) == 1
    assert [*(there.run / "jobs" / "slurm").iterdir()] == []  # no pickles, no scripts, no empty logs


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


def test_a_cancelled_job_is_not_tried_again_and_the_other_cells_go_on(cluster: SlurmCluster, tmp_path: Path) -> None:
    going = start(*LONG, "--models", "slow,sound,raises-in-forward", out=tmp_path / "run", **SLOW)
    wait_until(lambda: bool([*going.run.glob("jobs/*/checkpoints/slow-*.resume.safetensors")]), going.process)
    (first,) = [job for job, _, _ in cluster.running() if job.endswith("_0")]
    cluster.command("scancel", first)
    done = going.end()
    statuses = {name: cell.status for name, cell in done.cells.items()}
    assert (done.code, statuses) == (5, {"slow": "failed", "sound": "ok", "raises-in-forward": "failed"}), done.err
    assert "SLURM's job was cancelled; use --resume to run it again" in (done.cells["slow"].reason or "")
    assert "forward is broken" in (done.cells["raises-in-forward"].reason or "")
    assert events(going.run).count("submitted") == 3


def test_a_job_at_its_time_limit_saves_its_state_and_another_goes_on(cluster: SlurmCluster, tmp_path: Path) -> None:
    steps = 3500  # 35 s at least: SLURM warns fifteen seconds before the end of a minute, or up to a minute earlier
    arguments = (*LONG, "--images", str(32 * steps), "--models", "slow", "--set", "slurm.minutes=1")
    done = start(*arguments, out=tmp_path / "run", FAULTS_SLOW="1").end(300)
    (cell,) = done.run_cells
    assert (done.code, cell.status, cell.steps) == (0, "ok", steps), done.err
    assert "it was asked to stop after" in cell.notes[-1] and cell.notes[-1].endswith("(SLURM's time limit: 1:00)")
    assert cell.provenance is not None and cell.provenance.resumed_at_step


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


def test_a_killed_driver_is_resumed_and_takes_its_jobs_over(cluster: SlurmCluster, tmp_path: Path) -> None:
    going = start(*LONG, "--models", "slow,sound", out=tmp_path / "run", fresh=True, **SLOW)
    wait_for_checkpoint(going.run, going.process)
    os.kill(going.process.pid, signal.SIGKILL)
    going.end()
    before = events(going.run).count("submitted")
    done = run(out=going.run, resume=True, fresh=True, **SLOW)
    assert done.code == 0, done.err
    assert {cell.steps for cell in done.run_cells} == {STEPS}
    assert events(going.run).count("submitted") == before


def test_ctrl_c_leaves_no_job_and_keeps_the_state(cluster: SlurmCluster, tmp_path: Path) -> None:
    going = start(*LONG, "--models", "slow", "--seeds", "0,1,2", out=tmp_path / "run", FAULTS_SLOW="1")
    wait_until(lambda: len(cluster.running()) == 2 and (going.marks / "training").exists(), going.process)
    assert len(cluster.queue()) > 2  # some wait for a node
    os.kill(going.process.pid, signal.SIGINT)
    stopped = going.end()
    assert stopped.code == 130, stopped.err
    assert cluster.queue() == []
    assert [*(going.run / "checkpoints").glob("*.resume.safetensors")]
    done = run(out=going.run, resume=True)
    assert (done.code, {cell.steps for cell in done.run_cells}) == (0, {STEPS}), done.err
    assert any(cell.provenance is not None and cell.provenance.resumed_at_step for cell in done.run_cells)


def test_a_restarted_controller_interrupts_nothing(cluster: SlurmCluster, tmp_path: Path) -> None:
    beside = ("--set", "slurm.exclusive=false")
    going = start(*LONG, *beside, "--models", "slow", out=tmp_path / "run", **SLOW)
    wait_for_job(cluster, going)
    cluster.kill("slurmctld")
    time.sleep(2)
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


def test_other_code_on_a_node_fails_the_cell_with_the_difference(cluster: SlurmCluster, tmp_path: Path) -> None:
    import genbench

    other = tmp_path / "other" / "genbench"
    for source in Path(genbench.__file__).parent.rglob("*"):
        place = other / source.relative_to(Path(genbench.__file__).parent)
        if source.is_file() and "__pycache__" not in source.parts:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(source)
    (other / "more.py").write_text("")
    there = {"SBATCH_EXPORT": f"ALL,PYTHONPATH={other.parent}:{os.environ.get('PYTHONPATH', '')}"}
    done = run(*TINY, *SLURM, "--models", "vae", out=tmp_path / "run", **there)
    (cell,) = done.run_cells
    assert (done.code, cell.status) == (5, "failed"), done.err
    assert "other code of genbench" in (cell.reason or "")


def test_a_job_that_never_starts_is_given_up(cluster: SlurmCluster, tmp_path: Path) -> None:
    closed = ("--set", "slurm.partition=closed", "--set", "slurm.start_minutes=0.05")
    done = run(*TINY, *SLURM, *closed, "--models", "vae", out=tmp_path / "run")
    (cell,) = done.run_cells
    assert (done.code, cell.status) == (5, "failed"), done.err
    assert "it did not start within 3 s: " in (cell.reason or "") and "(attempt 3 of 3)" in (cell.reason or "")


def test_what_no_node_has_is_said_before_anything_is_submitted(cluster: SlurmCluster, tmp_path: Path) -> None:
    done = run(*TINY, *SLURM, "--threads", "64", "--models", "vae", out=tmp_path / "run")
    assert done.code == 2
    assert "cannot be executed: no node in all has 64 CPUs; the most is 2: use --threads" in done.err
    assert not (done.run / "jobs" / "journal.jsonl").exists()
