"""The description of the machine, without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from genbench.measure import machine, memory


def test_cores_are_those_usable_by_this_process() -> None:
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import genbench.measure.machine as m"
    code += "; import sys; print(m.usable_cores() <= 1, m.default_threads(), 'torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["True", "1", "False"]


@pytest.mark.parametrize(("text", "quota"), [("150000 100000", 1.5), ("max 100000", None), ("", None)])
def test_a_container_quota_bounds_the_cores(monkeypatch: pytest.MonkeyPatch, text: str, quota: float | None) -> None:
    monkeypatch.setattr(machine, "_read", lambda name: text if name.endswith("cpu.max") else "")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert machine.usable_cores() == (quota or 8)
    assert machine.default_threads() == (1 if quota else 8)


def test_a_container_limit_bounds_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"/sys/fs/cgroup/memory.max": str(2**20), "/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:  4096 kB"}
    monkeypatch.setattr(machine, "_read", lambda name: told.get(name, ""))
    assert machine.memory_bytes() == 2**20
    assert machine.available_bytes() == 2**20


def test_versions_name_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PACKAGES", ("torch", "no-such-package"))
    assert machine.versions()["torch"] == str(torch.__version__).partition("+")[0]
    assert machine.versions()["no-such-package"] == "not installed"


def test_peak_memory_includes_freed_memory() -> None:
    peak = memory.PeakMemory(torch.device("cpu"))
    before = peak.read(7)
    held = torch.ones(96 * 2**20, dtype=torch.uint8)
    after = peak.read(7)
    assert after.baseline_rss == 7
    assert after.peak_rss >= memory.resident_bytes() - 2**20
    assert after.peak_rss >= before.peak_rss
    assert len(held) <= after.peak_rss
    assert Path("/proc/self/statm").exists() == (memory.resident_bytes() > 0)


def test_the_model_of_a_processor_is_what_linux_says() -> None:
    x86 = "processor\t: 0\nmodel name\t: AMD EPYC 7B13\n\nprocessor\t: 1\nmodel name\t: AMD EPYC 7B13\n"
    assert machine.processor_model(x86) == "AMD EPYC 7B13"
    core = "processor\t: {}\nBogoMIPS\t: 50.00\nCPU implementer\t: 0x41\nCPU part\t: {}\n\n"
    assert machine.processor_model(core.format(0, "0xd0c") + core.format(1, "0xd0c")) == "ARM 0x41/0xd0c"
    assert machine.processor_model(core.format(0, "0xd05") + core.format(1, "0xd0a")) == "ARM 0x41/0xd05, 0x41/0xd0a"
    assert machine.processor_model("processor\t: 0\nmodel name\t:\n") == ""
    assert machine.processor_model("") == ""
