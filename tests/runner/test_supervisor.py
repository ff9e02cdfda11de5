"""What the supervisor does with signals, and which plugins the worker of a cell imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import GENBENCH, TINY, children, run, wait_until_gone

from genbench.commands.execution import resumption_named
from genbench.results.store import RunDirectory
from genbench.runner.pool import WorkerPool
from genbench.runner.supervisor import Interrupted, interrupt_on_signals, stop_on_signals
from genbench.system.signals import STOP_SIGNALS


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_each_of_the_signals_asks_to_stop_and_the_second_stops_at_once(number: signal.Signals) -> None:
    pool = WorkerPool()
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), stop_on_signals(pool):
        os.kill(os.getpid(), number)
        assert pool.stop_requested
        os.kill(os.getpid(), number)
        pytest.fail("the second signal did nothing")
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_before_and_after_the_cells_a_signal_interrupts_and_the_command_to_go_on_is_named(
    number: signal.Signals, tmp_path: Path
) -> None:
    run = RunDirectory(tmp_path / "a run")
    with pytest.raises(Interrupted) as error, interrupt_on_signals(), resumption_named(run):
        os.kill(os.getpid(), number)
        pytest.fail("the signal did nothing")
    assert error.value.cure == f"Go on with: genbench run --resume '{run.path}'"
    assert error.value.exit_code == 130


def test_the_end_of_the_terminal_does_not_stop_a_run_under_nohup() -> None:
    pool = WorkerPool()
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals(pool):
            os.kill(os.getpid(), signal.SIGHUP)
        assert not pool.stop_requested
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux does this")
def test_a_fork_server_that_still_imports_torch_ends_with_its_supervisor(tmp_path: Path) -> None:
    arguments = [*GENBENCH, "run", *TINY, "--models", "vae", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    servers: list[int] = []
    while not servers:
        time.sleep(0.01)
        servers = list(children(process.pid))
    time.sleep(0.3)
    process.kill()
    process.wait()
    wait_until_gone(servers, seconds=2)  # importing takes longer


PLUGIN = """
import os
from pathlib import Path

import genbench

with Path(os.environ["FAULTS_MARKS"], "imported").open("a") as file:
    file.write(f"{os.getpid()}\\n")


@genbench.hookimpl
def genbench_models():
    def build(image_shape, latent_dim, num_classes, options):
        raise ValueError("it is built")

    yield genbench.ModelSpec(
        name="marked", build=build, value_range=(0.0, 1.0), output="logits", family="variational", default_loss="elbo",
        latent_dim=2,
    )
"""


@pytest.mark.slow
def test_the_worker_of_a_cell_imports_only_its_plugins(tmp_path: Path) -> None:
    plugin = tmp_path / "marked.py"
    plugin.write_text(PLUGIN)
    models = ("--models", "vae,marked", "--set", "vae.hidden=16")
    done = run(*TINY, *models, "--plugin", str(plugin), out=tmp_path / "run")
    assert {name: cell.status for name, cell in done.cells.items()} == {"vae": "ok", "marked": "failed"}
    imported = (tmp_path / "marks" / "imported").read_text().split()
    assert len(set(imported)) == 2  # the process that reads its specs, and the worker of its own cell


@pytest.mark.slow
def test_messages_that_cannot_be_written_do_not_end_a_run(tmp_path: Path) -> None:
    models = ("--models", "vae", "--set", "vae.hidden=16", "--seeds", "0,1")
    command = [*GENBENCH, "run", *TINY, *models, "--out", str(tmp_path / "run")]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=full, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.count("vae") >= 1
    assert len(list((tmp_path / "run" / "cells").glob("*.json"))) == 2
    assert (tmp_path / "run" / "report.html").stat().st_size > 0
