"""Whole runs with the means of Linux and with those of every system: limits, kills, Ctrl-C, and going on."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import TINY, WITH_FAULTS, run, start, template_of, wait_until_gone

from genbench.system.means import uses_linux
from genbench.system.processes import kill

STEPS = 300


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_killed_worker_a_second_driver_and_ctrl_c(means: str, tmp_path: Path) -> None:
    slow = {"FAULTS_SLOW": "1", "GENBENCH_CHECKPOINT_SECONDS": "0.1"}
    arguments = (*WITH_FAULTS, "--images", str(32 * STEPS), "--models", "slow,sound", "--seeds", "0,1")
    going = start(*arguments, out=tmp_path / "a run", **slow)
    kill(going.mark("training"))
    (going.marks / "training").unlink()
    second = going.mark("training")
    processes = [second, template_of(going.process.pid)]
    driver = run(out=going.run, resume=True)
    assert driver.code == 2
    assert "Another genbench process is working on" in driver.err
    going.interrupt()
    done = going.end(60)
    assert done.code == 130, done.err
    assert "Go on with: genbench run --resume" in done.err
    wait_until_gone(processes)
    failed = [cell for cell in done.run_cells if cell.status != "ok"]
    assert [(cell.identity.model.name, cell.status) for cell in failed] == [("slow", "failed")]

    resumed = run(out=going.run, resume=True, seconds=600)
    assert resumed.code == 0, resumed.err
    assert [cell.status for cell in resumed.run_cells] == ["ok"] * 4
    assert {cell.steps for cell in resumed.run_cells} == {STEPS}
    assert sorted(cell.provenance.resumed_at_step is not None for cell in resumed.run_cells)[-1]


@pytest.mark.slow
def test_a_worker_that_hangs_is_killed_when_its_time_is_up(means: str, tmp_path: Path) -> None:
    done = run(*WITH_FAULTS, "--models", "hangs,sound", "--timeout", "6", out=tmp_path / "run", seconds=500)
    assert done.code == 5, done.err
    assert (done.cells["hangs"].status, done.cells["sound"].status) == ("timeout", "ok")
    assert "not done within 6 s" in done.cells["hangs"].reason
    wait_until_gone([int((tmp_path / "marks" / "hanging").read_text())])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "cause"),
    [
        (("--memory-limit", "2"), "Only Linux can limit the memory of a cell on the CPU."),
        (("--nproc", "2", "--threads", "2"), "Several processes for one cell need Linux."),
        (("--input", "loader", "--loader-workers", "1"), "Loader workers need Linux."),
    ],
    ids=lambda value: value[0].strip("-") if isinstance(value, tuple) else "",
)
def test_what_only_linux_can_is_refused_elsewhere(
    flags: tuple[str, ...], cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENBENCH_PORTABLE", "1")
    assert not uses_linux()
    done = run(*TINY, *flags, "--models", "vae", out=tmp_path / "run")
    assert done.code == 2
    assert cause in done.err
    assert not (tmp_path / "run").exists()
