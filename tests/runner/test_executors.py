"""Whole runs with several cells at a time, on this machine and through an executor plugin: nothing lost, no orphans."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from command_line import TINY, WITH_FAULTS, Going, alive, children, run, start, wait_until, wait_until_gone
from faulty_nodes import full_disk, other_numpy, python_path, require_skewed, skewed_clock

from genbench.runner.jobs.journal import Journal

PROCESSES = Path(__file__).parents[2] / "docs" / "examples" / "hooks" / "executors.py"
ELSEWHERE = ("--plugin", str(PROCESSES), "--executor", "processes")
STEPS = 300
LONG = (*WITH_FAULTS, "--images", str(32 * STEPS))
SLOW = {"FAULTS_SLOW": "1", "GENBENCH_CHECKPOINT_SECONDS": "0.1"}


def weights(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / "checkpoints").glob("*.safetensors")}


def tree(pid: int) -> list[int]:
    """Return the descendants of a process."""
    found = [*children(pid)]
    return found + [grandchild for child in found for grandchild in tree(child)]


def jobs_of(directory: Path) -> list[int]:
    """Return the processes of the example's jobs that run."""
    pids = [int(path.read_text() or 0) for path in (directory / "jobs" / "processes").glob("*/pid")]
    return [pid for pid in pids if pid and alive(pid)]


def wait_for_jobs(going: Going, count: int) -> list[int]:
    wait_until(lambda: len(jobs_of(going.run)) >= count, going.process)
    return jobs_of(going.run)


@pytest.mark.slow
def test_the_same_cells_and_weights_one_at_a_time_side_by_side_and_elsewhere(tmp_path: Path) -> None:
    plan = (*TINY, "--models", "vae,gan", "--set", "vae.hidden=16", "--seeds", "0,1")
    alone = run(*plan, out=tmp_path / "alone")
    beside = run(*plan, "--parallel", "2", out=tmp_path / "beside")
    elsewhere = run(*plan, *ELSEWHERE, out=tmp_path / "elsewhere")
    assert (alone.code, beside.code, elsewhere.code) == (0, 0, 0), elsewhere.err
    expected = weights(alone.run)
    assert len(expected) == 4
    assert weights(beside.run) == weights(elsewhere.run) == expected
    marks = {cell.comparability.disturbed for cell in beside.run_cells if cell.comparability is not None}
    assert marks <= {"turns", ""} and "turns" in marks
    assert not (beside.run / "jobs").exists()
    assert Journal(elsewhere.run / "jobs").open_jobs() == []
    assert [cell.id for cell in beside.record.cells] == [cell.id for cell in elsewhere.record.cells]


@pytest.mark.slow
def test_ctrl_c_stops_all_cells_that_run_side_by_side_and_resume_finishes_them(tmp_path: Path) -> None:
    models = ("--models", "slow", "--seeds", "0,1", "--parallel", "2", "--timing", "shared")
    going = start(*LONG, *models, out=tmp_path / "run", **SLOW)
    wait_until(lambda: len(list((going.run / "checkpoints").glob("*.resume.safetensors"))) == 2, going.process)
    processes = tree(going.process.pid)
    os.kill(going.process.pid, signal.SIGINT)
    done = going.end()
    assert done.code == 130
    assert done.err.count("stopping") == 1
    wait_until_gone(processes)
    resumed = run(out=going.run, resume=True)
    assert resumed.code == 0, resumed.err
    assert {cell.steps for cell in resumed.run_cells} == {STEPS}
    starts = [cell.provenance.resumed_at_step for cell in resumed.run_cells if cell.provenance is not None]
    assert len(starts) == 2 and all(starts)


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    going = start(*LONG, "--models", "slow", "--seeds", "0,1", "--parallel", "2", out=tmp_path / "run", **SLOW)
    going.mark("training")
    processes = tree(going.process.pid)
    os.kill(going.process.pid, signal.SIGINT)
    os.kill(going.process.pid, signal.SIGINT)
    assert going.end().code == 130
    wait_until_gone(processes)


@pytest.mark.slow
def test_a_killed_driver_is_resumed_and_takes_its_jobs_over(tmp_path: Path) -> None:
    going = start(*LONG, *ELSEWHERE, "--models", "slow,sound", out=tmp_path / "run", fresh=True, **SLOW)
    before = wait_for_jobs(going, 2)
    os.kill(going.process.pid, signal.SIGKILL)
    going.end()
    resumed = run(out=going.run, resume=True, fresh=True, **SLOW)
    assert resumed.code == 0, resumed.err
    assert {cell.steps for cell in resumed.run_cells} == {STEPS}
    offered = [json.loads(line) for line in (going.run / "jobs" / "journal.jsonl").read_text().splitlines()]
    assert [entry["event"] for entry in offered].count("offered") == 2  # no second attempt at either cell
    wait_until_gone(before)


@pytest.mark.slow
def test_a_killed_node_loses_a_job_which_goes_on_from_its_checkpoint_elsewhere(tmp_path: Path) -> None:
    going = start(*LONG, *ELSEWHERE, "--models", "slow", out=tmp_path / "run", fresh=True, **SLOW)
    (job,) = wait_for_jobs(going, 1)
    jobs = going.run / "jobs"
    wait_until(lambda: bool(list(jobs.glob("*/checkpoints/*.resume.safetensors"))), going.process)
    processes = tree(job)
    os.kill(job, signal.SIGKILL)
    done = going.end()
    wait_until_gone(processes)
    (cell,) = done.run_cells
    assert (done.code, cell.status, cell.steps) == (0, "ok", STEPS), done.err
    assert cell.notes[-1] == "an earlier job of this cell was lost: killed by SIGKILL"
    assert cell.provenance is not None and cell.provenance.resumed_at_step


@pytest.mark.slow
def test_a_job_whose_processes_all_get_sigterm_saves_its_state(tmp_path: Path) -> None:
    going = start(*LONG, *ELSEWHERE, "--models", "slow", out=tmp_path / "run", fresh=True, FAULTS_SLOW="1")
    (job,) = wait_for_jobs(going, 1)
    going.mark("training")
    processes = [job, *tree(job)]
    for process in reversed(processes):  # as SLURM and systemd send it, workers first
        os.kill(process, signal.SIGTERM)
    wait_until_gone(processes)
    assert list(going.run.glob("jobs/*/checkpoints/*.resume.safetensors"))
    assert not list(going.run.glob("jobs/*/result.json"))
    os.kill(going.process.pid, signal.SIGINT)
    assert going.end().code == 130


@pytest.mark.slow
def test_ctrl_c_ends_the_jobs_of_an_engine_and_keeps_their_state(tmp_path: Path) -> None:
    going = start(*LONG, *ELSEWHERE, "--models", "slow", out=tmp_path / "run", fresh=True, **SLOW)
    (job,) = wait_for_jobs(going, 1)
    wait_until(lambda: bool(list((going.run / "jobs").glob("*/checkpoints/*.resume.safetensors"))), going.process)
    processes = [job, *tree(job), *children(going.process.pid)]
    os.kill(going.process.pid, signal.SIGINT)
    done = going.end()
    assert done.code == 130, done.err
    wait_until_gone(processes)
    (left,) = (going.run / "checkpoints").glob("*.resume.safetensors")
    resumed = run("--executor", "local", out=going.run, resume=True)
    assert resumed.code == 0, resumed.err
    assert not left.exists()
    (cell,) = resumed.run_cells
    assert cell.provenance is not None and cell.provenance.resumed_at_step


@pytest.mark.slow
def test_a_removed_folder_ends_a_job_that_nobody_wants_any_more(tmp_path: Path) -> None:
    going = start(*LONG, *ELSEWHERE, "--models", "slow", out=tmp_path / "run", fresh=True, **SLOW)
    (job,) = wait_for_jobs(going, 1)
    going.mark("training")
    processes = [job, *tree(job)]
    os.kill(going.process.pid, signal.SIGKILL)
    going.end()
    resumed = run("--executor", "local", out=going.run, resume=True)  # another executor: the job is given up
    assert "1 jobs of another executor are given up" in resumed.err
    assert resumed.code == 0, resumed.err
    wait_until_gone(processes, seconds=30)


@pytest.mark.slow
def test_two_drivers_do_not_work_on_one_run(tmp_path: Path) -> None:
    going = start(*LONG, *ELSEWHERE, "--models", "slow", out=tmp_path / "run", fresh=True, **SLOW)
    wait_for_jobs(going, 1)
    second = run(out=going.run, resume=True)
    assert second.code == 2
    assert "Another genbench process is working on" in second.err
    assert going.end().code == 0


def nodes_with(place: Path, **variables: str) -> tuple[str, ...]:
    """Return the arguments for an executor whose nodes have these environment variables."""
    plugin = place / "elsewhere.py"
    given = f"stdin=subprocess.DEVNULL, env={{**os.environ, **{variables!r}}}"
    plugin.write_text(PROCESSES.read_text().replace("stdin=subprocess.DEVNULL", given))
    return ("--plugin", str(plugin), "--executor", "processes")


def nodes_that_import(place: Path) -> tuple[str, ...]:
    """Return the arguments for an executor whose nodes look for modules in a folder first."""
    return nodes_with(place.parent, PYTHONPATH=python_path(place))


@pytest.mark.slow
def test_a_node_with_other_code_says_what_differs(tmp_path: Path) -> None:
    node = other_numpy(tmp_path / "node")
    done = run(*TINY, "--models", "vae", *nodes_that_import(node), out=tmp_path / "run")
    (cell,) = done.run_cells
    assert cell.status == "failed"
    assert "the node has numpy 0.0.1 instead of" in cell.reason


@pytest.mark.slow
@pytest.mark.parametrize("skew", [-900, 900])
def test_the_clocks_of_nodes_may_differ_by_minutes(tmp_path: Path, skew: int) -> None:
    node = skewed_clock(tmp_path / "node", skew)
    arguments = (*LONG, "--models", "slow", "--timeout", "300", *nodes_that_import(node))
    going = start(*arguments, out=tmp_path / "run", fresh=True, **SLOW)
    (job,) = wait_for_jobs(going, 1)
    wait_until(lambda: bool(list(going.run.glob("jobs/*/checkpoints/*.resume.safetensors"))), going.process)
    os.kill(job, signal.SIGKILL)
    done = going.end()
    (cell,) = done.run_cells
    assert (done.code, cell.status, cell.steps) == (0, "ok", STEPS), done.err
    assert cell.provenance is not None and cell.provenance.resumed_at_step
    require_skewed(cell, skew)


@pytest.mark.slow
def test_a_node_with_a_full_disk_for_temporary_files_loses_its_jobs_and_says_why(tmp_path: Path) -> None:
    node = full_disk(tmp_path / "node")
    going = start(*TINY, "--models", "vae", *nodes_that_import(node), out=tmp_path / "run", fresh=True)
    journal = going.run / "jobs" / "journal.jsonl"
    wait_until(lambda: journal.exists() and journal.read_text().count('"submitted"') == 2, going.process)
    os.kill(going.process.pid, signal.SIGINT)
    done = going.end()
    assert done.code == 130
    assert "OSError: [Errno 28] No space left on device: '/tmp'; it is tried again" in done.err


@pytest.mark.slow
def test_a_job_at_the_time_limit_of_its_engine_is_followed_by_one_with_twice_the_time(tmp_path: Path) -> None:
    """The first job has less time than it needs; the estimate of its cell hardly counts."""
    plugin = tmp_path / "limited.py"
    text = PROCESSES.read_text().replace("poll_seconds = 0.5", "poll_seconds, limits_time = 0.2, True")
    lost = "genbench.JobState(state='lost', reason='limit reached', timed_out=True)"
    text = text.replace("str(place), *job.command]", "str(place), *limit(job), *job.command]")
    text = text.replace(
        "        if status < 0:", f"        if status == 124:\n            return {lost}\n        if status < 0:"
    )
    text += """

def limit(job):
    need = job.resources
    seconds = 2**need.extensions * (6 + need.estimate / 200)
    with open(os.environ["LIMITS"], "a") as file:
        print(need.extensions, seconds, file=file)
    return ["timeout", "--kill-after=60", f"{seconds:.3f}"]
"""
    plugin.write_text(text)
    limits = tmp_path / "limits"
    plan = (*WITH_FAULTS, "--images", str(32 * 800), "--models", "slow", "--plugin", str(plugin))
    done = run(*plan, "--executor", "processes", out=tmp_path / "run", LIMITS=str(limits), seconds=400, **SLOW)
    (cell,) = done.run_cells
    assert (done.code, cell.status, cell.steps) == (0, "ok", 800), done.err
    assert "estimating how long the cells take" in done.err
    numbers = [line.split() for line in limits.read_text().splitlines()]
    assert [int(extensions) for extensions, _ in numbers] == [*range(len(numbers))]
    assert len(numbers) >= 2
    assert cell.notes[-1] == "an earlier job of this cell was lost: limit reached"


RAISES = """
import genbench
class Raises:
    poll_seconds = 0.05
    def __init__(self, setup, options): pass
    def submit(self, jobs): return [job.token for job in jobs]
    def poll(self, jobs): return [genbench.JobState(state="pending") for _ in jobs]
    def cancel(self, jobs): pass
    def check(self, needs): return [""] * len(needs)
    def METHOD(self, *given): raise ValueError("it is broken")
@genbench.hookimpl
def genbench_executors():
    yield genbench.ExecutorSpec(name="raises", create=Raises)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["__init__", "check", "submit", "poll"])
def test_a_run_whose_executor_raises_ends_and_goes_on_elsewhere(tmp_path: Path, method: str) -> None:
    plugin = tmp_path / "raises.py"
    plugin.write_text(RAISES.replace("METHOD", method))
    plan = (*TINY, "--models", "vae", "--plugin", str(plugin), "--executor", "raises")
    done = run(*plan, out=tmp_path / "run")
    assert done.code == 5
    failed = "create" if method == "__init__" else method
    assert f"The executor 'raises' failed in {failed}: ValueError: it is broken" in done.err
    assert "Traceback" not in done.err
    resumed = run("--executor", "local", out=done.run, resume=True)
    assert (resumed.code, [cell.status for cell in resumed.run_cells]) == (0, ["ok"]), resumed.err
    assert not [path for path in (done.run / "jobs").glob("*") if path.is_dir()]


@pytest.mark.slow
def test_a_second_ctrl_c_asks_the_jobs_of_an_engine_to_end(tmp_path: Path) -> None:
    going = start(*LONG, *ELSEWHERE, "--models", "slow,sound", out=tmp_path / "run", fresh=True, FAULTS_SLOW="1")
    processes = [found for job in wait_for_jobs(going, 2) for found in [job, *tree(job)]]
    os.kill(going.process.pid, signal.SIGINT)
    os.kill(going.process.pid, signal.SIGINT)
    assert going.end().code == 130
    wait_until_gone(processes)


@pytest.mark.slow
def test_a_run_directory_from_elsewhere_cannot_end_a_process(tmp_path: Path) -> None:
    going = start(*LONG, *ELSEWHERE, "--models", "slow", out=tmp_path / "run", fresh=True, **SLOW)
    (job,) = wait_for_jobs(going, 1)
    foreign = tmp_path / "foreign"
    shutil.copytree(going.run, foreign)  # as if somebody had made it: it names the job, and its process
    done = run(*WITH_FAULTS[-2:], "--plugin", str(PROCESSES), out=foreign, resume=True, fresh=True, **SLOW)
    assert done.code == 0, done.err
    assert "an earlier job of this cell was lost" in str(done.run_cells[0].notes)
    other = going.end()
    assert other.code == 0, other.err
    assert "an earlier job of this cell was lost" not in str(other.run_cells[0].notes)
    assert not alive(job)


@pytest.mark.slow
def test_options_of_the_executor_may_change_when_a_run_is_resumed(tmp_path: Path) -> None:
    going = start(*LONG, *ELSEWHERE, "--models", "slow,sound", out=tmp_path / "run", fresh=True, **SLOW)
    wait_for_jobs(going, 2)
    os.kill(going.process.pid, signal.SIGINT)
    assert going.end().code == 130
    for setting, said in (
        ("vae.hidden=3", "--set can change options of the executor 'processes', not of 'vae'"),
        ("processes.job=1", "Did you mean 'jobs'?"),
    ):
        refused = run("--set", setting, out=going.run, resume=True)
        assert (refused.code, said in refused.err) == (2, True), refused.err
    again = start("--set", "processes.jobs=1", out=going.run, resume=True, fresh=True, **SLOW)
    most = 0
    while again.process.poll() is None:
        most = max(most, len(jobs_of(again.run)))
        time.sleep(0.05)
    done = again.end()
    assert (done.code, most) == (0, 1), done.err
    assert {cell.steps for cell in done.run_cells} == {STEPS}


UNREACHABLE = """
import genbench
def create(setup, options): raise genbench.ExecutorUnavailable("the engine is down.")
class Small:
    def __init__(self, setup, options): pass
    def check(self, needs): return ["no node has 2 processors" if need.cores > 1 else "" for need in needs]
    def submit(self, jobs): raise SystemError
    poll = cancel = submit
@genbench.hookimpl
def genbench_executors():
    yield genbench.ExecutorSpec(name="down", create=create)
    yield genbench.ExecutorSpec(name="small", create=Small)
"""


def test_a_dry_run_asks_the_engine_and_submits_nothing(tmp_path: Path) -> None:
    plugin = tmp_path / "engines.py"
    plugin.write_text(UNREACHABLE)
    plan = (*TINY, "--models", "vae,gan", "--plugin", str(plugin), "--dry-run", "--executor")
    down = run(*plan, "down", out=tmp_path / "run")
    assert (down.code, "The executor 'down' cannot be used: the engine is down." in down.err) == (2, True)
    possible = run(*plan, "small", out=tmp_path / "run")
    assert (possible.code, possible.out.count(" · seed 0")) == (0, 2), possible.err
    assert "the executor 'small', whose nodes may be of any speed: the costs are unknown" in possible.out
    refused = run(*plan, "small", "--nproc", "2", out=tmp_path / "run")
    assert (refused.code, refused.out.count("cannot be executed: no node has 2 processors")) == (5, 2), refused.out
    assert not (tmp_path / "run").exists()


def test_an_executor_needs_a_device_and_a_known_name(tmp_path: Path) -> None:
    without = run("--models", "vae", *ELSEWHERE, out=tmp_path / "run")
    assert (without.code, "needs a --device" in without.err) == (2, True)
    unknown = run(*TINY, "--models", "vae", "--executor", "locall", out=tmp_path / "run")
    assert (unknown.code, "Did you mean 'local'?" in unknown.err) == (2, True)
    assert not (tmp_path / "run").exists()
