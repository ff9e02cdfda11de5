"""Killed and interrupted runs: nothing is left running, and `--resume` finishes the run without repeating a cell."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch
import warm
from command_line import (
    WITH_FAULTS,
    Going,
    children,
    run,
    snapshot,
    start,
    template_of,
    wait_until,
    wait_until_gone,
)
from safetensors.torch import load_file

from genbench.report.training_samples import StoredSheet, read_training_samples
from genbench.results.store import RunDirectory
from genbench.system.means import uses_linux

STEPS = 300
LONG = (*WITH_FAULTS, "--images", str(32 * STEPS))
SLOW = {"FAULTS_SLOW": "1", "GENBENCH_CHECKPOINT_SECONDS": "0.1"}


def training_steps(going: Going) -> dict[int, int]:
    """Return the number of training steps of each worker process."""
    counts: dict[int, int] = {}
    for line in (going.marks / "steps").read_text().splitlines():
        counts[int(line.split()[0])] = counts.get(int(line.split()[0]), 0) + 1
    return counts


def processes_of(going: Going) -> list[int]:
    template = template_of(going.process.pid)
    return [template, *children(template)]


@pytest.mark.slow
def test_a_killed_process_fails_its_cell_only_and_resume_repeats_only_that(tmp_path: Path) -> None:
    models = ("--models", "sound,slow,unused-parameter", "--seeds", "0,1")
    going = start(*LONG, *models, out=tmp_path / "run", **SLOW)
    os.kill(going.mark("training"), signal.SIGKILL)
    (going.marks / "training").unlink()
    second = going.mark("training")
    os.kill(template_of(going.process.pid), signal.SIGKILL)
    done = going.end()
    wait_until_gone([second])
    assert done.code == 5
    cells = {(cell.identity.model.name, cell.identity.seed): cell for cell in done.run_cells}
    assert "the worker was killed by SIGKILL" in cells["slow", 0].reason
    killed = "the process that starts workers" if uses_linux() else "the worker"
    assert f"{killed} was killed by SIGKILL" in cells["slow", 1].reason
    assert {key: cell.status for key, cell in cells.items()} == {
        **{("sound", seed): "ok" for seed in (0, 1)},
        **{("slow", seed): "failed" for seed in (0, 1)},
        **{("unused-parameter", seed): "ok" for seed in (0, 1)},
    }

    cut = going.run / "cells" / f"{cells['sound', 1].id}.json"  # as a machine that fails may leave it
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    for verb in ("show", "table"):
        answer = warm.command(verb, str(going.run))
        assert cut.stem in answer.stdout + answer.stderr
        assert "damaged" in answer.stdout + answer.stderr
        assert "Traceback" not in answer.stderr
    before = snapshot(going.run / "cells")
    resumed = run(out=going.run, resume=True)
    assert resumed.code == 0, resumed.err
    assert {cell.status for cell in resumed.run_cells} == {"ok"}
    assert {cell.steps for cell in resumed.run_cells} == {STEPS}
    after = snapshot(going.run / "cells")
    repeated = {name for name in before if before[name] != after[name]}
    assert repeated == {cut.name, f"{cells['slow', 0].id}.json", f"{cells['slow', 1].id}.json"}
    assert not list((going.run / "checkpoints").glob("*resume*"))


@pytest.mark.slow
def test_killing_the_supervisor_kills_everything_and_resume_starts_from_the_checkpoint(tmp_path: Path) -> None:
    going = start(*LONG, "--models", "slow", out=tmp_path / "run", **SLOW)
    going.mark("training")
    wait_until(lambda: bool(list(going.run.glob("checkpoints/*.resume.safetensors"))), going.process)
    processes = processes_of(going)
    assert len(processes) == (2 if uses_linux() else 1)
    going.process.kill()
    going.process.communicate()
    wait_until_gone(processes)
    killed = training_steps(going)

    done = run(out=going.run, resume=True)
    assert done.code == 0, done.err
    cell = done.cells["slow"]
    at = cell.provenance.resumed_at_step
    assert at is not None
    assert 0 < at <= sum(killed.values())
    assert cell.steps == STEPS
    second = {pid: steps for pid, steps in training_steps(going).items() if pid not in killed}
    assert list(second.values()) == [STEPS - at + 1]  # and one step in which operations are counted
    assert sum(window.steps for window in cell.windows) == STEPS
    sheet = read_training_samples(RunDirectory(done.run), cell)
    assert isinstance(sheet, StoredSheet)
    assert (sheet.record.frames[0].step, sheet.record.frames[-1].step) == (0, STEPS)  # the first one before the kill

    # The interrupted training ends with the same weights as an uninterrupted one, including dropout.
    whole = run(*LONG, "--models", "slow", out=tmp_path / "whole")
    assert whole.code == 0, whole.err
    first, other = (load_file(d.run / "checkpoints" / f"{cell.id}.safetensors") for d in (done, whole))
    assert first.keys() == other.keys()
    assert all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "arguments"),
    [
        ("training", ("--models", "slow")),
        ("loading", ("--models", "sound", "--datasets", "slow-data")),
        ("measuring", ("--models", "sound", "--metrics", "slow-metric", "--seeds", "1")),
    ],
)
def test_ctrl_c_stops_cleanly_and_says_how_to_resume(tmp_path: Path, moment: str, arguments: tuple[str, ...]) -> None:
    images = str(32 * (STEPS if moment == "training" else 2))
    going = start(*LONG, *arguments, "--images", images, out=tmp_path / "a run", **SLOW)
    going.mark(moment)
    processes = processes_of(going)
    if moment == "loading":
        second = run(out=going.run, resume=True)
        assert second.code == 2
        assert "Another genbench process is working on" in second.err
    going.interrupt()
    done = going.end(60)
    assert done.code == 130
    message = f"Interrupted.\nGo on with: genbench run --resume '{going.run}'\nMore: genbench explain GB511\n"
    assert done.err.endswith(message)
    assert "Traceback" not in done.err
    assert done.cells == {}
    wait_until_gone(processes)

    resumed = run(out=going.run, resume=True)
    assert resumed.code == 0, resumed.err
    (cell,) = resumed.run_cells
    assert cell.status == "ok"
    assert (cell.provenance.resumed_at_step is not None) == (moment != "loading")


def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    going = start(*WITH_FAULTS, "--models", "swallows-sigterm", out=tmp_path / "run")
    worker = going.mark("swallowing")
    processes = processes_of(going)
    going.interrupt()
    assert going.process.stderr is not None
    while "Ctrl-C again" not in (line := going.process.stderr.readline()):
        assert line, "the command exited before the second Ctrl-C"
    assert going.process.poll() is None  # it waits for a worker that ignores the request
    going.interrupt()
    done = going.end(10)  # much less than the worker's grace period
    assert done.code == 130
    assert "Go on with: genbench run --resume" in done.err
    wait_until_gone([worker, *processes])


@pytest.mark.slow
def test_a_damaged_checkpoint_is_moved_away_and_the_cell_starts_again(tmp_path: Path) -> None:
    going = start(*LONG, "--models", "slow", out=tmp_path / "run", **SLOW)
    going.mark("training")
    going.process.send_signal(signal.SIGTERM)
    assert going.end().code == 130
    (checkpoint,) = going.run.glob("checkpoints/*.resume.safetensors")
    data = bytearray(checkpoint.read_bytes())
    data[len(data) // 2] ^= 1  # one bit
    checkpoint.write_bytes(data)
    half_written = checkpoint.with_name(f".{checkpoint.name}.1-2.tmp")
    half_written.write_bytes(b"half")

    done = run(out=going.run, resume=True)
    assert done.code == 0, done.err
    cell = done.cells["slow"]
    assert cell.provenance.resumed_at_step is None
    assert cell.steps == sum(window.steps for window in cell.windows) == STEPS
    assert any("could not be used (its tensors are not those that were written)" in note for note in cell.notes)
    assert checkpoint.with_name(checkpoint.name + ".unusable").read_bytes() == bytes(data)
    assert not half_written.exists()


def test_a_damaged_plan_is_a_clear_error(tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "run.json").write_bytes(b'{"schema_version": 1, "cre')
    done = run(out=out, resume=True)
    assert done.code == 2
    assert "run.json is damaged" in done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
def test_a_worker_that_was_stopped_for_some_seconds_says_so_in_its_result(tmp_path: Path) -> None:
    going = start(*LONG, "--models", "slow", out=tmp_path / "run", **SLOW)
    worker = going.mark("training")
    wait_until(lambda: training_steps(going).get(worker, 0) > STEPS // 2, going.process)
    os.kill(worker, signal.SIGSTOP)
    time.sleep(4)
    os.kill(worker, signal.SIGCONT)
    done = going.end()
    assert done.code == 0, done.err
    (cell,) = done.run_cells
    assert cell.steps == STEPS
    (note,) = [note for note in cell.notes if "timed windows took more than" in note]
    assert "the process was stopped, or waited, during training" in note
