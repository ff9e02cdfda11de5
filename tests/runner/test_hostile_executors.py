"""Whole runs whose executor plugin is hostile: each ends with a status and a reason, and leaves no process behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import TINY, WITH_FAULTS, Done, commands_with, run, wait_until

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "hooks" / "executors.py"


def hostile(place: Path, methods: str) -> tuple[str, ...]:
    """Return the arguments for an executor that is the example, but for some methods of its class."""
    plugin = place / "hostile.py"
    text = EXAMPLE.read_text().replace("poll_seconds = 0.5", "poll_seconds = 0.2")
    begin, hook = text.split("@genbench.hookimpl")
    body = "\n".join(f"    {line}" if line else "" for line in methods.strip().splitlines())
    changed = f"class Hostile(Subprocesses):\n{body}\n\n\n@genbench.hookimpl{hook}"
    plugin.write_text(begin + changed.replace("create=Subprocesses", "create=Hostile"))
    return ("--plugin", str(plugin), "--executor", "processes")


def ended(done: Done) -> Done:
    """Return what came of a command, after waiting until nothing is left of it."""
    assert "Traceback" not in done.err
    wait_until(lambda: not commands_with(str(done.run)), seconds=30)
    return done


def test_an_executor_that_starts_each_job_twice_and_reports_it_twice(tmp_path: Path) -> None:
    twice = """
def submit(self, jobs):
    names = super().submit(jobs)
    for job in jobs:
        subprocess.Popen(list(job.command), stdin=subprocess.DEVNULL, start_new_session=True)
    return names

def poll(self, jobs):
    return super().poll([*jobs, *jobs])[: len(jobs)]
"""
    models = ("--models", "vae,gan", "--seeds", "0,1")
    done = ended(run(*TINY, *models, *hostile(tmp_path, twice), out=tmp_path / "run"))
    assert (done.code, [cell.status for cell in done.run_cells]) == (0, ["ok"] * 4), done.err
    assert not [path for path in (done.run / "jobs").iterdir() if path.is_dir() and path.name != "processes"]


def test_an_executor_that_says_of_each_job_what_is_not_so(tmp_path: Path) -> None:
    lies = """
def state(self, job, place):
    told = super().state(job, place)
    self.asked = getattr(self, "asked", 0) + 1
    if self.asked == 3:  # one job is said to be lost: its process must end, and another takes its cell over
        return genbench.JobState(state="lost", reason="nobody knows")
    if self.asked % 3 == 0 and told.state == "running":
        return genbench.JobState(state="finished", reason="in the best of health")
    return told
"""
    slow = (*WITH_FAULTS, "--images", "3200", "--models", "slow", "--seeds", "0,1")
    done = ended(run(*slow, *hostile(tmp_path, lies), out=tmp_path / "run", FAULTS_SLOW="1"))
    assert (done.code, [cell.status for cell in done.run_cells]) == (0, ["ok"] * 2), done.err
    assert sum("nobody knows" in str(cell.notes) for cell in done.run_cells) == 1


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("def submit(self, jobs): raise KeyboardInterrupt", "failed in submit: KeyboardInterrupt"),
        ("def poll(self, jobs): raise GeneratorExit", "failed in poll: GeneratorExit"),
        ("def poll(self, jobs): raise type('Odd', (BaseException,), {})('odd')", "failed in poll: Odd: odd"),
        ("def submit(self, jobs): return dict.fromkeys(range(3))", "submit must return at most"),
        ("def poll(self, jobs): return iter(super().poll(jobs))", "poll must return one JobState for each"),
        ("def poll(self, jobs): return [('running', '') for _ in jobs]", "failed in poll: "),
        ("def poll(self, jobs): os._exit(0)", "failed in poll: its process exited"),
        ("def poll(self, jobs): os.closerange(3, 256)", "failed in poll: its process "),
        ("def poll(self, jobs): time.sleep(3600)", "failed in poll: it did not answer within 2 s"),
    ],
)
def test_an_executor_that_breaks_the_contract_ends_the_run_and_its_jobs_end(
    tmp_path: Path, method: str, said: str
) -> None:
    arguments = (*TINY, "--models", "vae", *hostile(tmp_path, method))
    done = run(*arguments, out=tmp_path / "run", GENBENCH_EXECUTOR_TIMEOUT="2")
    assert (done.code, said in done.err) == (5, True), done.err
    assert "resume the run" in done.err
    resumed = ended(run("--executor", "local", out=done.run, resume=True))
    assert (resumed.code, [cell.status for cell in resumed.run_cells]) == (0, ["ok"]), resumed.err


def test_a_result_in_the_run_directory_counts_although_the_executor_hangs_when_it_is_asked_for_it(
    tmp_path: Path,
) -> None:
    collects = "def collect(self, job): time.sleep(3600)"
    arguments = (*TINY, "--models", "vae", *hostile(tmp_path, collects))
    done = ended(run(*arguments, out=tmp_path / "run", GENBENCH_EXECUTOR_TIMEOUT="2"))
    assert (done.code, [cell.status for cell in done.run_cells]) == (0, ["ok"]), done.err
    assert "failed in collect: it did not answer within 2 s" in done.err


def test_an_executor_whose_collected_bytes_are_no_delivery(tmp_path: Path) -> None:
    collects = "def collect(self, job): return b'no archive' if job.token else None"
    done = ended(run(*TINY, "--models", "vae", *hostile(tmp_path, collects), out=tmp_path / "run"))
    (cell,) = done.run_cells
    assert (done.code, cell.status) == (5, "failed"), done.err
    assert "what it delivered cannot be unpacked" in cell.reason
    journal = (done.run / "jobs" / "journal.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in journal].count("submitted") == 3


def test_an_executor_that_raises_at_its_end_does_not_hide_the_results(tmp_path: Path) -> None:
    closes = """
def cancel(self, jobs): raise SystemExit(7)

def close(self):
    import threading
    threading.Thread(target=time.sleep, args=(3600,)).start()
    raise BaseException("not yet")
"""
    done = ended(run(*TINY, "--models", "vae", *hostile(tmp_path, closes), out=tmp_path / "run"))
    assert (done.code, [cell.status for cell in done.run_cells]) == (0, ["ok"]), done.err
