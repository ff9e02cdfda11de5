"""`genbench run --in-process` and `--pdb`: a debugger works in a plugin, and results say that timings are not valid."""

from __future__ import annotations

import math
import os
import resource
from pathlib import Path

import forks
import pytest
import torch
from command_line import TINY, Done
from safetensors.torch import load_file

from genbench.cell.memory_limits import limit_memory
from genbench.errors import UsageError
from genbench.planning.planner import make_plan
from genbench.planning.request import make_request
from genbench.plugins.catalogue import discover
from genbench.process.messages import Finished, Job
from genbench.process.worker_channel import WorkerChannel
from genbench.report.table.comparison_table import make_table
from genbench.results.schema import PlannedCell
from genbench.results.store import RunDirectory, read_runs
from genbench.runner import worker
from genbench.runner.in_process import IN_PROCESS, NOTE, InProcessRunner

PLUGIN = Path(__file__).parents[1] / "support" / "tiny_plugin.py"


def run_with_input(typed: str, *arguments: str, out: Path) -> Done:
    command = ["run", *TINY, "--plugin", str(PLUGIN), *arguments, "--out", str(out)]
    process = forks.start(command, {**os.environ, "GENBENCH_PLUGIN_TIMEOUT": "120"}, typed=typed)
    out_text, err = process.communicate(timeout=250)
    return Done(process.wait(), out_text, err, out)


@pytest.fixture(scope="module")
def debugged(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A run with a debugger: at the exception of one cell, and at the breakpoint of another."""
    typed = "p local_value\nq\np local_value\nc\n"
    out = tmp_path_factory.mktemp("debugged") / "run"
    return run_with_input(typed, "--models", "raises,breaks,works", "--pdb", out=out)


@pytest.mark.slow
def test_the_debugger_starts_at_an_exception_and_at_a_breakpoint_and_the_run_goes_on(debugged: Done) -> None:
    assert debugged.code == 5
    assert "(Pdb) 1032" in debugged.out
    assert "(Pdb) 2032" in debugged.out
    assert "the debugger has returned 2032" in debugged.out
    assert "ValueError: no such 1032" in debugged.err  # its traceback, before the prompt
    assert {name: cell.status for name, cell in debugged.cells.items()} == {
        "raises": "failed",
        "breaks": "ok",
        "works": "ok",
    }
    assert debugged.cells["raises"].reason.startswith("ValueError: no such 1032 (tiny_plugin.py, line ")


def test_every_cell_and_every_table_says_that_timings_are_not_valid(debugged: Done) -> None:
    assert all(NOTE in cell.notes for cell in debugged.run_cells)
    assert {cell.comparability.disturbed for cell in debugged.run_cells if cell.comparability} == {IN_PROCESS}
    assert debugged.out.count(NOTE) == 1
    assert NOTE in (debugged.run / "table.md").read_text()
    assert "timings are not valid" in debugged.err.splitlines()[0]
    *_, report, code = debugged.err.rstrip().splitlines()  # nothing of a live display, nor of libraries
    assert report.endswith(str(debugged.run / "report.html"))
    assert "genbench explain GB" in code


@pytest.mark.slow
def test_a_worker_trains_the_same_weights_and_its_speed_does_not_compare(debugged: Done) -> None:
    usual = run_with_input("", "--models", "works", out=debugged.run.parent / "usual")
    assert usual.code == 0, usual.err
    cell = usual.cells["works"]
    assert NOTE not in cell.notes
    first, other = (load_file(done.run / "checkpoints" / f"{cell.id}.safetensors") for done in (debugged, usual))
    assert all(torch.equal(first[name], other[name]) for name in first)
    table = make_table(*read_runs([debugged.run, usual.run]))
    (footnote,) = [text for _, text in table.footnotes if text.startswith("not comparable: speed")]
    assert "disturbed differs (in-process, none)" in footnote


@pytest.mark.slow
def test_quitting_the_debugger_at_a_breakpoint_interrupts_the_run(tmp_path: Path) -> None:
    done = run_with_input("q\n", "--models", "breaks,works", "--in-process", out=tmp_path / "run")
    assert done.code == 130
    assert done.run_cells == []
    assert f"Go on with: genbench run --resume {done.run}" in done.err


def planned(**given: object) -> PlannedCell:
    request = make_request({"models": "gan", "profile": "smoke", "datasets": "synthetic", **given})
    return make_plan(request, discover(), "cpu").cells[0]


def test_cells_of_several_processes_are_refused_with_the_remedy() -> None:
    InProcessRunner().require_executable([planned()])
    with pytest.raises(UsageError, match=r"2 processes train.*") as error:
        InProcessRunner().require_executable([planned(), planned(nproc="2")])
    assert "--nproc 1" in str(error.value)


@pytest.mark.parametrize("before", [b"of a worker", None])
def test_a_stopped_cell_leaves_its_checkpoint_as_it_was(
    before: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = planned()
    checkpoint = RunDirectory(tmp_path).resume_path(cell.id)
    checkpoint.parent.mkdir()
    if before is not None:
        checkpoint.write_bytes(before)
    executor = InProcessRunner()

    def train(job: Job, channel: WorkerChannel) -> Finished:
        assert job.memory_limit == job.checkpoint_seconds == math.inf
        new = checkpoint.with_name("new")
        new.write_bytes(b"of this process")
        new.replace(checkpoint)
        executor.request_stop()
        raise AssertionError("it was to stop at once")

    monkeypatch.setattr(worker, "execute_job", train)
    assert executor.run(Job(task="cell", run=str(tmp_path), cell=cell), lambda message: None).stopped
    assert (checkpoint.read_bytes() if checkpoint.exists() else None) == before
    assert [path.name for path in checkpoint.parent.iterdir()] == ([checkpoint.name] if before is not None else [])


def test_a_second_ctrl_c_is_not_the_failure_of_a_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(job: Job, channel: WorkerChannel) -> Finished:
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "set_up_torch", lambda threads: None)
    monkeypatch.setattr(worker, "_result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        InProcessRunner().run(Job(task="cell"), lambda message: None)


def test_a_stop_waits_until_a_message_has_been_handled(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = InProcessRunner()
    handled = []

    def on_message(message: object) -> None:
        executor.request_stop()
        handled.append(message)

    def work(job: Job, channel: WorkerChannel) -> Finished:
        channel.activity("training")
        raise AssertionError("it was to stop here")

    monkeypatch.setattr(worker, "execute_job", work)
    assert executor.run(Job(task="reference"), on_message).stopped
    assert len(handled) == 1


def test_an_infinite_memory_limit_limits_nothing() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    assert limit_memory(math.inf, torch.device("cpu")) is None
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
