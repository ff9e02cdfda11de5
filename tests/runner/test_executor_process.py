"""The process of an executor plugin: whatever its methods do, the run gets an answer, and nothing is left running."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from command_line import alive, wait_until

from genbench.api.jobs import ExecutorSetup, JobHandle, JobRequest, Resources
from genbench.errors import UsageError
from genbench.plugins.loader import Plugin
from genbench.runner.executor_process import Call, ExecutorFailed, ExecutorProcess, Limits

PLUGIN = """
import os, subprocess, sys, time
from pathlib import Path
import genbench

class Good:
    capacity = 7
    start_seconds = 30.0

    def __init__(self, setup, options):
        self.setup = setup

    def submit(self, jobs):
        return [f"{job.cell}/{job.folder.name}/{job.payload.decode()}" for job in jobs]

    def poll(self, jobs):
        return [genbench.JobState(state="running", reason=job.job) for job in jobs]

    def cancel(self, jobs):
        pass

    def close(self):
        Path(self.setup.run, "closed").write_text("yes")

class Raises(Good):
    def submit(self, jobs): raise ValueError("no submit")
    def poll(self, jobs): raise SystemExit(3)
    def cancel(self, jobs): raise RuntimeError("no cancel")
    def check(self, needs): raise OSError("no check")
    def collect(self, job): raise KeyError("no collect")
    def close(self): raise ValueError("no close")

class Wrong(Good):
    def submit(self, jobs): return [1]
    def poll(self, jobs): return []
    def check(self, needs): return "text"
    def collect(self, job): return "text"

class Hangs(Good):
    def poll(self, jobs):
        helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(self.setup.run, "helper").write_text(str(helper.pid))
        time.sleep(600)

class Slow(Good):
    def poll(self, jobs):
        time.sleep(float(jobs[0].token))
        return super().poll(jobs)

class Dies(Good):
    def poll(self, jobs): os._exit(5)

class Prints(Good):
    def poll(self, jobs):
        os.write(1, b"noise"); print("noise", file=sys.stderr)
        return super().poll(jobs)

class Missing:
    def __init__(self, setup, options): pass
    def submit(self, jobs): return []
    def poll(self, jobs): return []

class Unspeakable(Exception):
    def __str__(self): raise ValueError

class Stranger(BaseException):
    pass

class Strange(Good):
    def poll(self, jobs): return (genbench.JobState(state="running") for job in jobs)
    def check(self, needs): raise Stranger("very")
    def collect(self, job): raise Unspeakable
    def cancel(self, jobs):
        sys.stderr.close()
        raise GeneratorExit

class Lies(Good):
    def poll(self, jobs): return [genbench.JobState(state="done") for job in jobs]

class Talks(Good):
    def poll(self, jobs): return [genbench.JobState(state="lost", reason="x" * 10**7) for job in jobs]

class Never(Good):
    poll_seconds = float("nan")

class Touchy(Good):
    @property
    def shared(self): raise RuntimeError("do not ask")

def unavailable(setup, options): raise genbench.ExecutorUnavailable("the engine is not here. Install it.")
def broken(setup, options): raise ZeroDivisionError("at once")

class Unlimited(Good):
    capacity = 0

@genbench.hookimpl
def genbench_executors():
    made = dict(good=Good, raises=Raises, wrong=Wrong, hangs=Hangs, slow=Slow, dies=Dies, prints=Prints,
                missing=Missing, unavailable=unavailable, broken=broken, unlimited=Unlimited,
                strange=Strange, lies=Lies, talks=Talks, never=Never, touchy=Touchy)
    for name, create in made.items():
        yield genbench.ExecutorSpec(name=name, create=create)
"""


def opened(name: str, place: Path) -> ExecutorProcess:
    file = place / "plugin.py"
    file.write_text(PLUGIN)
    plugin = Plugin("plugin", "file", str(file), "plugin.py", "0" * 12)
    return ExecutorProcess(name, {}, plugin, ExecutorSetup(run=place, cells=3))


def request(place: Path) -> JobRequest:
    return JobRequest(
        token="t", cell="gan-1", label="gan", attempt=1, resources=Resources(), folder=place / "t",
        command=("python",), payload=b"{}",
    )  # fmt: skip


def handle(place: Path) -> JobHandle:
    return JobHandle(token="t", job="the job", folder=place / "t")


def test_calls_and_their_answers(tmp_path: Path) -> None:
    process = opened("good", tmp_path)
    try:
        assert process.limits == Limits(capacity=7, start_seconds=30.0)
        assert process.call(Call(method="submit", jobs=[request(tmp_path)])).names == ["gan-1/t/{}"]
        (state,) = process.call(Call(method="poll", handles=[handle(tmp_path)])).states
        assert (state.state, state.reason) == ("running", "the job")
        assert process.call(Call(method="check", needs=[Resources()])).names == [""]
    finally:
        process.close()
    assert (tmp_path / "closed").read_text() == "yes"


@pytest.mark.parametrize(
    ("method", "said"),
    [("submit", "no submit"), ("poll", "SystemExit: 3"), ("cancel", "no cancel"), ("check", "no check"),
     ("collect", "no collect")],
)  # fmt: skip
def test_an_exception_of_any_method_is_named_and_the_process_goes_on(method: str, said: str, tmp_path: Path) -> None:
    process = opened("raises", tmp_path)
    call = Call(method=method, jobs=[request(tmp_path)], handles=[handle(tmp_path)], needs=[Resources()])
    try:
        with pytest.raises(ExecutorFailed, match=f"The executor 'raises' failed in {method}: .*{said}") as error:
            process.call(call)
        assert "resume the run" in error.value.cure
        assert process.running
    finally:
        process.close()


@pytest.mark.parametrize("method", ["submit", "poll", "check", "collect"])
def test_what_does_not_fit_the_contract_is_named(method: str, tmp_path: Path) -> None:
    process = opened("wrong", tmp_path)
    call = Call(method=method, jobs=[request(tmp_path)], handles=[handle(tmp_path)], needs=[Resources()])
    try:
        with pytest.raises(ExecutorFailed, match=f"{method} must return"):
            process.call(call)
    finally:
        process.close()


@pytest.mark.parametrize(
    ("name", "method", "said"),
    [
        ("strange", "poll", "poll must return one JobState for each of its 1 jobs"),
        ("strange", "check", "Stranger: very"),
        ("strange", "collect", "Unspeakable: its message cannot be shown"),
        ("strange", "cancel", "GeneratorExit"),
        ("lies", "poll", "Invalid enum value 'done'"),
    ],
)
def test_whatever_a_method_does_is_named_and_the_process_goes_on(
    name: str, method: str, said: str, tmp_path: Path
) -> None:
    process = opened(name, tmp_path)
    call = Call(method=method, jobs=[request(tmp_path)], handles=[handle(tmp_path)], needs=[Resources()])
    try:
        for _ in range(2):
            with pytest.raises(ExecutorFailed, match=said):
                process.call(call)
        assert process.running
    finally:
        assert process.close()


def test_a_long_reason_is_shortened(tmp_path: Path) -> None:
    process = opened("talks", tmp_path)
    try:
        (state,) = process.call(Call(method="poll", handles=[handle(tmp_path)])).states
        assert len(state.reason) == 2002
    finally:
        process.close()


@pytest.mark.parametrize(("name", "said"), [("never", "poll_seconds positive"), ("touchy", "do not ask")])
def test_attributes_that_are_of_no_use_are_named(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ExecutorFailed, match=said):
        opened(name, tmp_path)


def test_a_method_that_hangs_is_given_up_and_what_it_has_started_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = opened("hangs", tmp_path)
    monkeypatch.setenv("GENBENCH_EXECUTOR_TIMEOUT", "3")
    monkeypatch.setattr("genbench.runner.executor_process.EXIT_SECONDS", 0.5)
    with pytest.raises(ExecutorFailed, match="it did not answer within 3 s"):
        process.call(Call(method="poll", handles=[handle(tmp_path)]))
    helper = int((tmp_path / "helper").read_text())
    process.close()
    wait_until(lambda: not alive(helper), seconds=10)


def test_a_reply_that_comes_late_is_not_taken_for_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = opened("slow", tmp_path)
    try:
        monkeypatch.setenv("GENBENCH_EXECUTOR_TIMEOUT", "0.2")
        late = JobHandle(token="0.6", job="late", folder=tmp_path)
        with pytest.raises(ExecutorFailed, match="did not answer"):
            process.call(Call(method="poll", handles=[late]))
        monkeypatch.setenv("GENBENCH_EXECUTOR_TIMEOUT", "60")
        for name in ("next", "and the next"):
            soon = JobHandle(token="0", job=name, folder=tmp_path)
            (state,) = process.call(Call(method="poll", handles=[soon])).states
            assert state.reason == name
    finally:
        process.close()


def test_a_process_that_hangs_while_it_is_called_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = opened("hangs", tmp_path)
    monkeypatch.setenv("GENBENCH_EXECUTOR_TIMEOUT", "0.5")
    monkeypatch.setattr("genbench.runner.executor_process.EXIT_SECONDS", 0.5)
    try:
        with pytest.raises(ExecutorFailed, match="did not answer"):
            process.call(Call(method="poll", handles=[handle(tmp_path)]))
        with pytest.raises(ExecutorFailed, match="failed in submit"):  # more than a socket holds
            process.call(Call(method="submit", jobs=[replace(request(tmp_path), payload=bytes(1 << 22))]))
        assert not process.running
    finally:
        process.close()


def test_a_process_that_dies_is_named(tmp_path: Path) -> None:
    process = opened("dies", tmp_path)
    try:
        with pytest.raises(ExecutorFailed, match="its process exited with status 5"):
            process.call(Call(method="poll", handles=[handle(tmp_path)]))
        assert not process.running
    finally:
        process.close()


def test_what_a_library_prints_is_not_taken_for_an_answer(tmp_path: Path) -> None:
    process = opened("prints", tmp_path)
    try:
        assert len(process.call(Call(method="poll", handles=[handle(tmp_path)])).states) == 1
    finally:
        process.close()


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("unavailable", UsageError, "cannot be used: the engine is not here. Install it."),
        ("broken", ExecutorFailed, "failed in create: ZeroDivisionError: at once"),
        ("missing", ExecutorFailed, "an object with the methods submit, poll, cancel"),
        ("unlimited", ExecutorFailed, "capacity must be at least 1"),
    ],
)
def test_an_executor_that_cannot_be_created_says_why(
    name: str, error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        opened(name, tmp_path)
