"""What the doctor concludes about a GPU: its answers are simulated, the work is done on the CPU."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from genbench.doctor import clocks, devices, drivers, memory_use, power, steps
from genbench.doctor.finding import Finding
from genbench.measure import energy as energy_meters
from genbench.measure import nvml as nvml_library
from genbench.results.schema import EngineBound, EngineCheck, EngineRecord, EngineTrial, GpuState

CPU = torch.device("cpu")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let every check believe that the device to check is a GPU, which computes on the CPU."""
    for module in (clocks, memory_use, power, steps):
        for name in ("chosen_gpu", "chosen_device"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, lambda device: CPU)
        if hasattr(module, "gpu_that_can"):
            monkeypatch.setattr(module, "gpu_that_can", lambda device, what: CPU)
    monkeypatch.setattr(devices, "chosen_gpu", lambda device: CPU)
    monkeypatch.setattr(devices, "gpu_that_can", lambda device, what: CPU)
    monkeypatch.setattr(power, "_SECONDS", 0.01)
    return monkeypatch


def outcome(found: Finding) -> tuple[str, str, str]:
    return found.status, found.reason, found.remedy


@pytest.mark.parametrize(
    ("capability", "built_for", "runs"),
    [
        ((8, 6), "sm_80", True),  # machine code runs on later minor versions
        ((8, 0), "sm_86", False),
        ((9, 0), "sm_80 sm_86", False),  # but not on another major one
        ((9, 0), "sm_80 compute_80", True),  # intermediate code is compiled for any later GPU
        ((7, 5), "compute_80", False),
        ((9, 0), "sm_90a", True),
        ((9, 1), "sm_90a compute_90a", False),  # for exactly one version
        ((10, 3), "sm_100f", True),  # for a family
        ((12, 0), "sm_100f", False),
        ((12, 0), "sm_120", True),
        ((8, 0), "gfx90a", False),
    ],
)
def test_which_gpus_an_architecture_runs_on(capability: tuple[int, int], built_for: str, runs: bool) -> None:
    assert drivers.runs_on(capability, built_for.split()) is runs


def device_events(monkeypatch: pytest.MonkeyPatch, factor: float) -> Finding:
    class Event:
        def __init__(self, device: torch.device, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            self.at = time.perf_counter()

        def elapsed_time(self, later: Any) -> float:
            return 1e3 * factor * float(later.at - self.at)

    multiply = torch.mm
    monkeypatch.setattr(torch, "Event", Event)
    monkeypatch.setattr(torch, "mm", lambda a, b: multiply(a[:64, :64], b[:64, :64]))
    return clocks.device_events("cuda")


def test_events_that_agree_with_the_clock_and_others(gpu: pytest.MonkeyPatch) -> None:
    assert device_events(gpu, 1.0).status == "passed"


def test_events_that_run_twice_as_fast(gpu: pytest.MonkeyPatch) -> None:
    status, reason, remedy = outcome(device_events(gpu, 2.0))
    assert status == "failed"
    assert "for the same work" in reason
    assert "Another program may use the GPU" in remedy


def test_memory_in_both_formats_and_an_allocator_that_counts_nothing(gpu: pytest.MonkeyPatch) -> None:
    peaks = iter([3 * 2**20, 2 * 2**20, 0, 0])
    gpu.setattr(torch, "get_device_module", lambda device: torch.cuda)
    gpu.setattr(torch.cuda, "reset_peak_memory_stats", lambda device=None: None)
    gpu.setattr(torch.cuda, "max_memory_allocated", lambda device=None: next(peaks))
    found = memory_use.formats("cuda")
    assert found.status == "passed"
    assert [(figure.name, figure.value) for figure in found.figures] == [
        ("peak in contiguous", 3.0),
        ("peak in channels_last", 2.0),
    ]
    assert "PYTORCH_NO_CUDA_MEMORY_CACHING" in memory_use.formats("cuda").remedy


def test_an_energy_counter_that_stands_still(gpu: pytest.MonkeyPatch) -> None:
    joules = iter([5.0, 9.0, 9.0, 9.0])
    meter = energy_meters.EnergyMeter(lambda: {"gpu": next(joules)}, "a counter")
    gpu.setattr(energy_meters, "open_meter", lambda device: meter)
    assert power.energy("cuda").status == "passed"
    status, reason, remedy = outcome(power.energy("cuda"))
    assert status == "failed"
    assert "did not advance" in reason
    assert "--energy-seconds 0" in remedy


@pytest.mark.parametrize(
    ("state", "status", "reason"),
    [
        ({"sm_clock": 1900, "highest_sm_clock": 1980, "throttled": [nvml_library.POWER_CAP]}, "passed", ""),
        (
            {"sm_clock": 1900, "highest_sm_clock": 1980, "throttled": ["heat, by hardware"]},
            "warning",
            "slowed down: heat",
        ),
        ({"sm_clock": 990, "highest_sm_clock": 1980}, "warning", "at 50% of its highest clock"),
    ],
    ids=["power cap", "heat", "locked"],
)
def test_clocks_under_load(gpu: pytest.MonkeyPatch, state: dict[str, Any], status: str, reason: str) -> None:
    gpu.setattr(nvml_library, "open_nvml", lambda device: (None, None))
    gpu.setattr(nvml_library, "gpu_state", lambda nvml, handle: GpuState(**state))
    found = power.gpu_clocks("cuda")
    assert found.status == status
    assert reason in found.reason


@pytest.mark.parametrize(
    ("free", "others", "total", "status", "reason"),
    [
        (2**34, 0, 1.0, "passed", ""),
        (2**34, 2, 1.0, "warning", "Other processes use cuda:0: 2"),
        (2**28, 0, 1.0, "warning", "only 0.25 GiB of free memory"),
        (2**34, 0, 0.5, "failed", "computes a sum of 1,024 ones as 512"),
    ],
    ids=["free", "shared", "full", "wrong"],
)
def test_a_gpu(monkeypatch: pytest.MonkeyPatch, free: int, others: int, total: float, status: str, reason: str) -> None:
    ones = torch.ones
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch, "ones", lambda count, device: total * ones(count))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "device", lambda device: torch.no_grad())
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 2**36))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H200")
    monkeypatch.setattr(devices, "_other_processes", lambda device: others)
    found = devices.each_device("cuda")
    assert found.status == status
    assert reason in found.reason
    assert bool(found.remedy) == (status != "passed")
    there = devices.each_device("cuda:3")
    assert "There is no cuda:3: torch finds 1 GPU" in there.reason
    assert "--device cuda:0" in there.remedy


@pytest.mark.parametrize(
    ("outcome_of_trial", "found", "status", "reason"),
    [
        ("used", 1e-6, "passed", ""),
        ("deviates", 0.5, "failed", "The engine graph trains vae differently: too far"),
        ("unavailable", None, "failed", "The engine graph cannot be used: too far"),
    ],
)
def test_an_engine(
    gpu: pytest.MonkeyPatch, outcome_of_trial: Any, found: float | None, status: str, reason: str
) -> None:
    bounds = [EngineBound(what="losses", of="autoencoder", found=found or 0.0, tolerance=0.005)]
    check = None if found is None else EngineCheck(steps=20, precision="fp32", bounds=bounds)
    trial = EngineTrial(engine="graph", outcome=outcome_of_trial, reason="too far", check=check)
    chooser = SimpleNamespace(
        choose_engine=lambda *arguments: EngineRecord(asked="graph", used="graph", trials=[trial])
    )
    gpu.setitem(sys.modules, "genbench.train.engines.selection", chooser)
    result = steps.graph("cuda")
    assert result.status == status
    assert reason in result.reason
    deviations = [figure for figure in result.figures if figure.allowed is not None]
    assert [figure.value for figure in deviations] == ([] if found is None else [found, found])
