"""Peak memory of training steps, apart from that of trials, evaluations and the rest of the process."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from genbench.measure.memory import PeakMemory, resident_bytes
from genbench.system.means import uses_linux

MIB = 2**20


def use(mebibytes: int) -> None:
    """Use so much memory, and return it to the system."""
    held = torch.ones(mebibytes * MIB, dtype=torch.uint8)  # malloc maps blocks of this size, and unmaps them
    assert int(held[-1]) == 1


@pytest.mark.skipif(not uses_linux(), reason="needs Linux")
def test_memory_that_is_used_between_the_steps_is_not_that_of_training() -> None:
    paths = [str(Path(__file__).parent), *sys.path]
    code = f"import sys; sys.path[:] = {paths!r}; import test_memory; test_memory.use_memory()"
    # A process of its own, with malloc as it is: this one keeps and reuses what earlier tests have freed.
    usual = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    subprocess.run([sys.executable, "-c", code], check=True, env=usual)


@pytest.mark.skipif(not uses_linux(), reason="needs Linux")
def test_memory_of_the_program_that_started_this_one_is_not_counted() -> None:
    code = "import torch, genbench.measure.memory as memory; print(memory.PeakMemory(torch.device('cpu')).read(0))"
    large = bytearray(2**30)  # a new program begins with the peak of the process that starts it, says `getrusage`
    large[::4096] = b"1" * len(large[::4096])
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert int(done.stdout.split("peak_rss=")[1].split(",")[0]) < 700 * MIB


def use_memory() -> None:
    gc.collect()
    peak = PeakMemory(torch.device("cpu"))
    use(400)
    before = resident_bytes()
    with peak.steps():
        use(100)
    use(400)
    with peak.steps():
        use(50)
    use(500)
    found = peak.read(3)
    assert found.baseline_rss == 3
    assert found.training_rss is not None
    assert found.peak_rss - found.training_rss > 350 * MIB
    assert 50 * MIB < found.training_rss - before < 150 * MIB
    assert (found.peak_allocated, found.process_allocated) == (None, None)


class Gpu:
    """The counters of torch's allocator on a GPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held = self.peak = 10
        for name in ("max_memory_allocated", "max_memory_reserved"):
            factor = 1 + (name == "max_memory_reserved")
            monkeypatch.setattr(torch.cuda, name, lambda device, factor=factor: factor * self.peak)
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", self.reset)

    def use(self, more: int) -> None:
        self.peak = max(self.peak, self.held + more)

    def reset(self, device: torch.device) -> None:
        self.peak = self.held


def test_on_a_gpu_trials_of_engines_and_evaluations_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(monkeypatch)
    peak = PeakMemory(torch.device("cuda", 0))
    gpu.use(1000)  # trials
    for step in (100, 120, 110):
        with peak.steps():
            gpu.use(step)
        gpu.use(500)  # an evaluation
    found = peak.read(0)
    assert (found.peak_allocated, found.peak_reserved) == (130, 260)
    assert (found.process_allocated, found.process_reserved) == (1010, 2020)


def test_without_a_timed_step_the_peak_is_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(monkeypatch)
    gpu.use(50)
    found = PeakMemory(torch.device("cuda", 0)).read(0)
    assert (found.peak_allocated, found.process_allocated, found.training_rss) == (60, 60, None)
