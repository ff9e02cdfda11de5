"""How a worker's end is described, and what counts as running out of memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from genbench.cell.failure import diagnose
from genbench.cell.memory_limits import is_out_of_memory
from genbench.errors import UsageError
from genbench.process.messages import Finished, Job
from genbench.runner.pool import WorkerPool
from genbench.runner.supervisor import ask_devices
from genbench.runner.worker_monitor import WorkerExit


def test_the_failure_reported_by_worker_or_fork_server_comes_first() -> None:
    assert WorkerExit(finished=Finished(failure="no such file"), status=0).describe() == "no such file"
    assert WorkerExit(failure="no fork server").describe() == "no fork server"
    assert WorkerExit(status=-9).describe() == "the worker was killed by SIGKILL"
    assert WorkerExit().describe() == "the worker disappeared"


def test_errors_of_torch_and_python_that_mean_out_of_memory() -> None:
    for allocate in (lambda: torch.empty(2**50), lambda: bytearray(2**60)):
        with pytest.raises((RuntimeError, MemoryError)) as caught:
            allocate()
        assert is_out_of_memory(caught.value)
        status, reason = diagnose(caught.value)
        assert status == "oom"
        assert "--batch-size" in reason
    assert not is_out_of_memory(RuntimeError("the memory of an elephant"))
    assert diagnose(ValueError("no")) == ("failed", "ValueError: no")


@pytest.mark.parametrize(
    "text",
    [
        "GET was unable to find an engine to execute this computation",
        "Unable to find a valid cuDNN algorithm to run convolution",
    ],
)
def test_cudnn_without_memory_for_any_algorithm_is_out_of_memory(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = RuntimeError(text)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 90)
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda: 1.0, raising=False)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (5, 100))
    assert diagnose(error)[0] == "oom"
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (50, 100))
    assert diagnose(error)[0] == "failed"  # there is memory: the convolution is not supported
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda: 0.9)
    assert diagnose(error)[0] == "oom"  # the share that --memory-limit allows is used up


def test_a_broken_torch_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('torch is broken')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with (
        WorkerPool() as pool,
        pytest.raises(UsageError, match=r"torch does not start: .* with status 1 \(ImportError: torch is broken\)"),
    ):
        ask_devices(pool)


def test_a_worker_that_does_not_start_in_time_is_named() -> None:
    with WorkerPool(fork_server_seconds=0.01, grace_seconds=5) as pool:
        worker_exit = pool.run(Job(task="devices"), lambda message: None)
    assert worker_exit.describe() == "the worker did not start within 0.01 s"
