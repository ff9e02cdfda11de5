"""A cell that two processes train: one result, one failure for all, nothing left running, exact resumption."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import step_probe
import torch
from command_line import TINY, WITH_FAULTS, Done, Going, children, run, start, template_of, wait_until, wait_until_gone
from open_sockets import attack
from safetensors.torch import load_file
from torch.distributed.elastic.multiprocessing import api as elastic_processes

from genbench.process.messages import Job
from genbench.report.training_samples import StoredSheet, read_training_samples
from genbench.results.store import RunDirectory
from genbench.runner import torchrun
from genbench.system.processes import descendants
from genbench.system.sockets import Listener, listeners
from genbench.train.engines.memory_format_choice import ROUNDS

STEPS = 150
TWO = (*WITH_FAULTS, "--nproc", "2")
LONG = (*TWO, "--images", str(32 * STEPS))
SLOW = {"FAULTS_SLOW": "1", "GENBENCH_CHECKPOINT_SECONDS": "0.1"}


def test_ranks_keep_the_processors_of_the_machine_with_a_gpu_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    monkeypatch.setattr("torch.distributed.launcher.api.get_default_numa_options", object, raising=False)
    job = SimpleNamespace(cell=SimpleNamespace(id="cell"), rendezvous=None, device="cpu")
    config = torchrun._config(cast("Job", job), 2, 1, "folder")
    assert config.nproc_per_node == 2
    assert config.numa_options is None


def test_a_torch_that_takes_sigterm_leaves_it_to_genbench(monkeypatch: pytest.MonkeyPatch) -> None:
    torchs: list[int] = []
    monkeypatch.setattr(torchrun, "_CHOOSES_SIGNALS", False)
    monkeypatch.setattr(elastic_processes, "_terminate_process_handler", lambda signum, _: torchs.append(signum))
    ours: list[int] = []
    with torchrun._kept_by_torch(lambda number, _: ours.append(number)):
        for number in (signal.SIGTERM, signal.SIGHUP):
            elastic_processes._terminate_process_handler(number, None)
    elastic_processes._terminate_process_handler(signal.SIGQUIT, None)
    assert (ours, torchs) == ([signal.SIGTERM], [signal.SIGHUP, signal.SIGQUIT])


def ranks(going: Going) -> list[int]:
    """Return the ids of both ranks, once both are running."""
    found: list[int] = []

    def both() -> bool:
        found[:] = [rank for worker in children(template_of(going.process.pid)) for rank in children(worker)]
        return len(found) == 2

    wait_until(both, going.process)
    return found


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Done:
    models = "os-exit-0,raises-in-forward,greedy,not-a-number,sound"
    more = ("--evaluate-every", "32", "--best-metric", "diversity", "--metrics", "diversity")
    return run(*TWO, *more, "--models", models, "--memory-limit", "4", out=tmp_path_factory.mktemp("faults") / "run")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "status", "reason"),
    [
        ("os-exit-0", "failed", r"rank \d of 2 exited with status 0"),
        ("raises-in-forward", "failed", r"rank \d of 2: RuntimeError: forward is broken \(faults\.py, line \d+\)"),
        ("greedy", "oom", r"rank \d of 2: .*--batch-size"),
        ("not-a-number", "diverged", r"not finite from step 2 on; first bad step \d: the gradient of encoder"),
    ],
)
def test_a_fault_in_a_rank_has_its_status_and_a_reason(faults: Done, model: str, status: str, reason: str) -> None:
    cell = faults.cells[model]
    assert cell.status == status, cell.reason
    assert re.search(reason, cell.reason, re.DOTALL), cell.reason


@pytest.mark.slow
def test_two_processes_produce_one_result(faults: Done) -> None:
    cell = faults.cells["sound"]
    assert (cell.status, cell.reason, cell.steps, cell.images) == ("ok", "", 2, 64)
    assert [(window.steps, window.images) for window in cell.windows] == [(1, 32), (1, 32)]
    assert cell.distributed is not None
    assert (cell.distributed.processes, cell.distributed.batch, cell.distributed.threads) == (2, 16, 1)
    assert cell.distributed.backend == "gloo"
    assert cell.proof is not None
    assert cell.proof.trained
    assert cell.energy is not None
    assert cell.energy.reason
    assert len(cell.evaluations) == 2  # by the main rank, while the other waits
    assert cell.best is not None
    sheet = read_training_samples(RunDirectory(faults.run), cell)
    assert isinstance(sheet, StoredSheet)
    assert [frame.images for frame in sheet.record.frames] == [0, 64]
    alone = run(*WITH_FAULTS, "--models", "sound", out=faults.run.parent / "alone").cells["sound"]
    assert cell.flops_per_image == alone.flops_per_image


@pytest.mark.slow
def test_a_killed_rank_fails_its_cell_only_and_the_other_rank_exits(tmp_path: Path) -> None:
    going = start(*LONG, "--models", "slow,sound", out=tmp_path / "run", **SLOW)
    going.mark("training")
    both = ranks(going)
    os.kill(both[1], signal.SIGKILL)
    wait_until_gone(both, seconds=10)
    done = going.end()
    assert done.code == 5
    assert done.cells["slow"].status == "failed"
    assert re.search(r"rank \d of 2 was killed by SIGKILL", done.cells["slow"].reason), done.cells["slow"].reason
    assert done.cells["sound"].status == "ok"


@pytest.mark.slow
def test_killing_the_supervisor_kills_the_ranks(tmp_path: Path) -> None:
    going = start(*LONG, "--models", "slow", out=tmp_path / "run", **SLOW)
    going.mark("training")
    processes = [template_of(going.process.pid), *ranks(going)]
    going.process.kill()
    going.process.communicate()
    wait_until_gone(processes)


@pytest.mark.slow
def test_an_interrupted_training_resumes_exactly(tmp_path: Path) -> None:
    """Including dropout, noise and augmentation of each rank: the weights equal those of an uninterrupted training."""
    how = (*LONG, "--models", "slow", "--augment-flip", "0.5", "--augment-rotate", "10")
    going = start(*how, out=tmp_path / "run", **SLOW)
    going.mark("training")
    both = ranks(going)
    going.process.send_signal(signal.SIGINT)
    interrupted = going.end(60)
    assert interrupted.code == 130
    assert interrupted.cells == {}
    wait_until_gone(both)
    done = run(out=going.run, resume=True)
    assert done.code == 0, done.err
    cell = done.cells["slow"]
    assert cell.provenance.resumed_at_step is not None
    assert cell.steps == sum(window.steps for window in cell.windows) == STEPS
    whole = run(*how, out=tmp_path / "whole")
    assert whole.code == 0, whole.err
    first, other = (load_file(d.run / "checkpoints" / f"{cell.id}.safetensors") for d in (done, whole))
    assert first.keys() == other.keys()
    assert all(torch.equal(first[name], other[name]) for name in first)


@pytest.mark.slow
def test_a_time_limit_ends_the_ranks(tmp_path: Path) -> None:
    going = start(*TWO, "--models", "hangs", "--timeout", "4", out=tmp_path / "run")
    going.mark("hanging")
    both = ranks(going)
    done = going.end()
    assert done.cells["hangs"].status == "timeout"
    wait_until_gone(both)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux")
def test_on_one_machine_no_port_is_open_to_others_and_an_attack_runs_no_command(tmp_path: Path) -> None:
    going = start(*LONG, "--models", "slow", out=tmp_path / "run", **SLOW)
    going.mark("training")
    ranks(going)
    found = listeners(descendants(going.process.pid))
    assert [listener for listener in found if not listener.loopback] == []
    mark = tmp_path / "ran"
    for listener in found:  # those of gloo
        attack(listener, (), mark)
    done = going.end()
    assert not mark.exists()
    assert done.code == 0, done.err
    assert done.cells["slow"].status == "ok"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux")
def test_between_machines_only_the_endpoint_is_open_and_an_attack_runs_no_command(tmp_path: Path) -> None:
    """The attack comes before the second machine has arrived."""
    endpoint = Listener("127.0.0.1", free_port())
    where = ("--nnodes", "2", "--rdzv-endpoint", f"127.0.0.1:{endpoint.port}")
    together = (*WITH_FAULTS, *where, "--models", "sound")
    first = start(*together, out=tmp_path / "one")
    wait_until(lambda: endpoint in listeners(descendants(first.process.pid)), first.process)
    assert listeners(descendants(first.process.pid)) == {endpoint}
    (cell,) = (cell.id for cell in RunDirectory(tmp_path / "one").record.cells)
    mark = tmp_path / "ran"
    keys = [key + end for end in ("", f"-{cell}") for key in ("torch.rendezvous.genbench", "genbench")]
    attack(endpoint, [*keys, f"genbench-{cell}/torch.rendezvous.genbench-{cell}"], mark)
    done = [going.end() for going in (first, start(*together, out=tmp_path / "other"))]
    assert not mark.exists()
    assert [each.code for each in done] == [0, 0], [each.err for each in done]


@pytest.mark.slow
def test_two_runs_train_one_cell_after_the_other_together(tmp_path: Path) -> None:
    """As on two machines: each run has a directory of its own, and one of them gets the results."""
    where = ("--nnodes", "2", "--rdzv-endpoint", f"127.0.0.1:{free_port()}")
    together = (*WITH_FAULTS, *where, "--models", "sound,unused-parameter")
    going = [start(*together, out=tmp_path / name) for name in ("one", "other")]
    done = [each.end() for each in going]
    assert [each.code for each in done] == [0, 0], [each.err for each in done]
    for model in ("sound", "unused-parameter"):
        statuses = sorted(each.cells[model].status for each in done)
        assert statuses == ["ok", "skipped"]
        (there,) = (each.cells[model] for each in done if each.cells[model].status == "ok")
        assert there.distributed is not None
        assert (there.distributed.processes, there.distributed.nodes, there.distributed.batch) == (2, 2, 16)
        (other,) = (each.cells[model] for each in done if each.cells[model].status == "skipped")
        assert "the machine of rank 0" in other.reason


@pytest.mark.slow
def test_ranks_measure_the_memory_format_and_agree_on_that_of_the_slowest(tmp_path: Path) -> None:
    """Rank 0 alone would be faster in the other one; that both have it is also checked at the end of every training."""
    given = ("--models", "dcgan", "--nproc", "2", "--threads", "2", "--images", "64", "--metrics", "none")
    pretended = step_probe.environment("accelerator_of_two_ranks")
    done = run(*TINY, *given, out=tmp_path / "run", fresh=True, **pretended)
    (cell,) = done.run_cells
    assert cell.status == "ok", cell.reason
    assert cell.engine is not None and cell.engine.memory_format is not None
    choice = cell.engine.memory_format
    assert (choice.used, choice.reason) == ("channels_last", "the faster")
    assert choice.seconds_per_step == {"contiguous": [5e-3] * ROUNDS, "channels_last": [2e-3] * ROUNDS}
