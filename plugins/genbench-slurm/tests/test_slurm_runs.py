"""Whole runs on a real SLURM of two nodes on this machine: nothing lost, no job left behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from command_line import GENBENCH, TINY, WITH_FAULTS, run, start, wait_until
from faulty_nodes import full_disk, python_path, require_skewed, skewed_clock
from slurm_cluster import SlurmCluster, events, wait_for_checkpoint

from genbench.results.store import RunDirectory

pytestmark = pytest.mark.slow

STEPS = 300
SLOW = {"FAULTS_SLOW": "1", "GENBENCH_CHECKPOINT_SECONDS": "0.1"}
SLURM = ("--executor", "slurm", "--set", "slurm.poll_seconds=1", "--set", "slurm.margin=0")
LONG = (*WITH_FAULTS, *SLURM, "--images", str(32 * STEPS))


OTHER_NAME = 'hostname login2 && exec "$@"'  # in a namespace of its own


def weights(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / "checkpoints").glob("*.safetensors")}


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


def test_a_killed_driver_is_resumed_on_another_login_and_takes_its_jobs_over(
    cluster: SlurmCluster, tmp_path: Path
) -> None:
    going = start(*LONG, "--models", "slow,sound", out=tmp_path / "run", fresh=True, **SLOW)
    wait_for_checkpoint(going.run, going.process)
    os.kill(going.process.pid, signal.SIGKILL)
    going.end()
    before = events(going.run).count("submitted")
    login = (
        [] if subprocess.run(["unshare", "-u", "true"]).returncode else ["unshare", "-u", "sh", "-c", OTHER_NAME, "sh"]
    )
    command = [*login, *GENBENCH, "run", "--resume", str(going.run)]
    environment = {**os.environ, **SLOW, "FAULTS_MARKS": str(going.marks)}
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    cells = RunDirectory(going.run).read_cells().results.values()
    assert {cell.steps for cell in cells} == {STEPS}
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


def test_a_second_ctrl_c_ends_the_command_at_once_and_leaves_no_job(cluster: SlurmCluster, tmp_path: Path) -> None:
    going = start(*LONG, "--models", "slow", "--seeds", "0,1,2", out=tmp_path / "run", fresh=True, **SLOW)
    wait_for_checkpoint(going.run, going.process)
    os.kill(going.process.pid, signal.SIGINT)
    os.kill(going.process.pid, signal.SIGINT)
    assert going.end().code == 130
    wait_until(lambda: cluster.queue() == [], seconds=30)


def test_the_jobs_of_another_run_are_left_alone_and_a_second_driver_is_refused(
    cluster: SlurmCluster, tmp_path: Path
) -> None:
    going = start(*LONG, "--models", "slow", out=tmp_path / "run", **SLOW)
    wait_for_checkpoint(going.run, going.process)
    second = run(out=going.run, resume=True)
    assert (second.code, "Another genbench process is working on" in second.err) == (2, True), second.err
    foreign = tmp_path / "foreign"
    shutil.copytree(going.run, foreign)  # as if somebody had made it: its journal names the job
    other = start(*WITH_FAULTS[-2:], out=foreign, resume=True, **SLOW)
    wait_until(lambda: len(cluster.running()) == 2, other.process)
    os.kill(other.process.pid, signal.SIGINT)
    assert other.end().code == 130
    assert len(cluster.running()) == 1
    done = going.end()
    assert (done.code, done.run_cells[0].steps) == (0, STEPS), done.err
    assert events(going.run).count("submitted") == 1


def test_a_dry_run_asks_slurm_and_submits_nothing(cluster: SlurmCluster, tmp_path: Path) -> None:
    plan = (*TINY, *SLURM, "--models", "vae", "--dry-run")
    possible = run(*plan, out=tmp_path / "run")
    assert (possible.code, "with the executor 'slurm'" in possible.out) == (0, True), possible.err
    refused = run(*plan, "--threads", "64", out=tmp_path / "run")
    assert (refused.code, "no node in all has 64 CPUs; the most is 2" in refused.out) == (5, True), refused.err


def test_other_code_on_a_node_fails_the_cell_with_the_difference(cluster: SlurmCluster, tmp_path: Path) -> None:
    import genbench

    other = tmp_path / "other" / "genbench"
    for source in Path(genbench.__file__).parent.rglob("*"):
        place = other / source.relative_to(Path(genbench.__file__).parent)
        if source.is_file() and "__pycache__" not in source.parts:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(source)
    (other / "more.py").write_text("")
    done = run(*TINY, *SLURM, "--models", "vae", out=tmp_path / "run", **nodes_that_import(other.parent))
    (cell,) = done.run_cells
    assert (done.code, cell.status) == (5, "failed"), done.err
    assert "other code of genbench" in (cell.reason or "")


def nodes_that_import(folder: Path) -> dict[str, str]:
    """Return the variables for a run whose jobs look for modules in a folder first."""
    return {"SBATCH_EXPORT": f"ALL,PYTHONPATH={python_path(folder)}"}


@pytest.mark.parametrize("skew", [-900, 900])
def test_the_clocks_of_nodes_may_differ_by_minutes(cluster: SlurmCluster, tmp_path: Path, skew: int) -> None:
    there = nodes_that_import(skewed_clock(tmp_path / "node", skew))
    done = run(*TINY, *SLURM, "--models", "vae", out=tmp_path / "run", **there)
    (cell,) = done.run_cells
    assert (done.code, cell.status) == (0, "ok"), done.err
    require_skewed(cell, skew)


def test_a_node_with_a_full_disk_for_temporary_files_fails_the_cell_with_the_reason(
    cluster: SlurmCluster, tmp_path: Path
) -> None:
    done = run(
        *TINY, *SLURM, "--models", "vae", out=tmp_path / "run", **nodes_that_import(full_disk(tmp_path / "node"))
    )
    (cell,) = done.run_cells
    assert (done.code, cell.status) == (5, "failed"), done.err
    assert "No space left on device" in cell.reason and "(attempt 3 of 3)" in cell.reason


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
