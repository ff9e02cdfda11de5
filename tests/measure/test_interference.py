"""Interference, read from /proc/stat and from a GPU simulated by a fake library."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from genbench.measure.energy import EnergyUnavailable, open_meter
from genbench.measure.interference import (
    InterferenceMonitor,
    ProcessorTimes,
    disturbance,
    disturbances,
    read_processor_times,
)
from genbench.results.schema import GpuState, Surroundings, Window

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
TICKS = os.sysconf("SC_CLK_TCK")


def monitor(before: ProcessorTimes | None, after: ProcessorTimes | None) -> Surroundings:
    readings = iter([before, after])
    return InterferenceMonitor(CPU, lambda: next(readings)).stop()


def test_busy_and_stolen_time_of_usable_processors(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    line = "{name} {user} {nice} {system} 5000 700 {irq} {softirq} {steal} 999 0\n"
    rows = [
        line.format(name="cpu", user=9, nice=9, system=9, irq=9, softirq=9, steal=9),
        line.format(name="cpu0", user=10 * TICKS, nice=TICKS, system=2 * TICKS, irq=TICKS, softirq=0, steal=3 * TICKS),
        line.format(name="cpu1", user=TICKS, nice=0, system=0, irq=0, softirq=0, steal=0),
        line.format(name="cpu2", user=100 * TICKS, nice=0, system=0, irq=0, softirq=0, steal=0),
        "intr 1 2 3\n",
    ]
    stat.write_text("".join(rows))
    found = read_processor_times(stat, lambda: 7.0, frozenset({0, 1}))
    assert found is not None
    assert (found.busy, found.stolen, found.processors, found.now) == (15.0, 3.0, 2, 7.0)
    assert read_processor_times(tmp_path / "missing") is None
    stat.write_text("cpu0 much\n")
    assert read_processor_times(stat, processors=frozenset({0})) is None


def test_shares_of_two_processors_over_ten_seconds() -> None:
    """20 processor seconds: 8 own, 6 of other processes, 1 stolen."""
    seen = monitor(ProcessorTimes(100.0, 5.0, 2, 3.0, 50.0), ProcessorTimes(114.0, 6.0, 2, 11.0, 60.0))
    assert (seen.own, seen.others, seen.stolen) == pytest.approx((0.4, 0.3, 0.05))
    (note,) = disturbances(seen)
    assert note.startswith("others took more than 25% of the processors' time")
    assert disturbance(seen) == ""  # only a note: the measurement stays comparable


@pytest.mark.parametrize(("others", "said"), [(0.09, None), (0.11, "10%"), (0.26, "25%"), (0.8, "50%")])
def test_more_than_a_tenth_of_the_time_gives_a_note(others: float, said: str | None) -> None:
    notes = disturbances(Surroundings(own=0.5, others=others, stolen=0.0))
    assert [note.split()[4] for note in notes] == ([said] if said else [])


def test_stolen_time_counts_like_other_processes_time() -> None:
    assert disturbances(Surroundings(own=0.5, others=0.06, stolen=0.06))


def test_too_short_a_training_gives_no_shares() -> None:
    seen = monitor(ProcessorTimes(100.0, 0.0, 2, 3.0, 50.0), ProcessorTimes(101.0, 0.0, 2, 3.0, 50.5))
    assert (seen.own, seen.others, seen.stolen) == (None, None, None)
    assert monitor(None, None).others is None
    assert disturbances(seen) == []


class NVMLError(Exception):
    pass


def fake_nvml(**answers: Any) -> SimpleNamespace:
    """Return a library with the given answers that fails for all others, like a GPU without such counters."""

    def refuse(*args: Any) -> Any:
        raise NVMLError("Not Supported")

    names = ("PowerUsage", "CurrentClocksThrottleReasons", "ComputeRunningProcesses", "ClockInfo", "MaxClockInfo")
    functions = {f"nvmlDeviceGet{name}": refuse for name in (*names, "Temperature", "TotalEnergyConsumption")}
    functions |= {f"nvmlDeviceGet{name}": lambda *args, answer=answer: answer for name, answer in answers.items()}
    return SimpleNamespace(
        NVMLError=NVMLError,
        NVML_CLOCK_SM=1,
        NVML_CLOCK_MEM=2,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        **functions,
    )


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    properties = SimpleNamespace(uuid="1234")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    return monkeypatch


def look(gpu: pytest.MonkeyPatch, before: object, after: object) -> Surroundings:
    gpu.setitem(sys.modules, "pynvml", before)
    watching = InterferenceMonitor(GPU, lambda: None)
    gpu.setitem(sys.modules, "pynvml", after)
    return watching.stop()


def test_an_undisturbed_gpu_is_recorded_and_not_flagged(gpu: pytest.MonkeyPatch) -> None:
    nvml = fake_nvml(
        PowerUsage=412_500,
        ClockInfo=1755,
        MaxClockInfo=1980,
        Temperature=55,
        CurrentClocksThrottleReasons=0x4,  # power cap: usual at full load
        ComputeRunningProcesses=[SimpleNamespace(pid=os.getpid())],
    )
    seen = look(gpu, nvml, nvml)
    assert seen.gpu_before == seen.gpu_after
    assert seen.gpu_after == GpuState(
        sm_clock=1755,
        highest_sm_clock=1980,
        memory_clock=1755,
        temperature=55,
        power=412.5,
        throttled=["power cap by software"],
        other_processes=0,
    )
    assert disturbances(seen) == []
    assert disturbance(seen) == ""


def test_a_hot_shared_gpu_is_flagged(gpu: pytest.MonkeyPatch) -> None:
    processes = [SimpleNamespace(pid=os.getpid()), SimpleNamespace(pid=1)]
    after = fake_nvml(CurrentClocksThrottleReasons=0x40 | 0x4, ComputeRunningProcesses=processes)
    seen = look(gpu, fake_nvml(ComputeRunningProcesses=[]), after)
    assert disturbance(seen) == "throttled and shared"
    assert disturbances(seen) == [
        "the GPU's clocks were lowered (heat, by hardware): its speed is not that of a cool GPU",
        "1 other process used the GPU: its speed is not that of this cell alone",
    ]


def counting(**seconds: float) -> SimpleNamespace:
    """Return a library with counters of the time with reduced clocks, which reports an idle GPU at the moment."""
    policies = {0: seconds.get("power", 0.0), 1: seconds.get("heat", 0.0)}
    nvml = fake_nvml(CurrentClocksThrottleReasons=0)

    def violation(handle: object, policy: int) -> SimpleNamespace:
        if policy not in policies:
            raise NVMLError("Not Supported")
        return SimpleNamespace(referenceTime=0, violationTime=round(1e9 * policies[policy]))

    nvml.nvmlDeviceGetViolationStatus = violation
    return nvml


def test_heat_during_training_is_counted_although_the_gpu_is_idle_before_and_after(gpu: pytest.MonkeyPatch) -> None:
    hot = look(gpu, counting(power=100.0, heat=3.0), counting(power=160.0, heat=5.5))
    assert disturbance(hot) == "throttled"
    assert disturbances(hot) == ["the GPU's clocks were lowered (heat): its speed is not that of a cool GPU"]
    assert disturbance(look(gpu, counting(power=100.0, heat=3.0), counting(power=160.0, heat=3.0))) == ""


def test_a_process_renamed_by_a_container_is_not_another_process(gpu: pytest.MonkeyPatch) -> None:
    nvml = fake_nvml(ComputeRunningProcesses=[SimpleNamespace(pid=987_654_321)])
    seen = look(gpu, nvml, nvml)
    assert seen.gpu_after is not None
    assert seen.gpu_after.other_processes == 0


def test_a_gpu_without_counters_and_a_lost_gpu_raise_nothing(gpu: pytest.MonkeyPatch) -> None:
    seen = look(gpu, fake_nvml(), fake_nvml())
    assert seen.gpu_after == GpuState()
    lost = fake_nvml()

    def refuse() -> None:
        raise NVMLError("GPU is lost")

    lost.nvmlInit = refuse
    seen = look(gpu, fake_nvml(), lost)
    assert (seen.gpu_after, seen.gpu_reason) == (None, "NVML does not recognise this GPU: GPU is lost")
    gpu.setattr(torch.cuda, "get_device_properties", lambda device: 1 / 0)
    assert "ZeroDivisionError" in look(gpu, fake_nvml(), fake_nvml()).gpu_reason


def test_without_the_library_the_reason_is_given(gpu: pytest.MonkeyPatch) -> None:
    assert "nvidia-ml-py" in look(gpu, None, None).gpu_reason
    with pytest.raises(EnergyUnavailable, match="nvidia-ml-py"):
        open_meter(GPU)


def test_energy_is_read_from_the_same_library(gpu: pytest.MonkeyPatch) -> None:
    gpu.setitem(sys.modules, "pynvml", fake_nvml(TotalEnergyConsumption=5_000))
    meter = open_meter(GPU)
    meter.start()
    gpu.setitem(sys.modules, "pynvml", None)  # the meter keeps its open handle
    assert meter.stop()[0] == 0.0
    gpu.setitem(sys.modules, "pynvml", fake_nvml())
    with pytest.raises(EnergyUnavailable, match="no energy counter"):
        open_meter(GPU)


def windows(*seconds: float, steps: int = 10) -> list[Window]:
    return [
        Window(step=steps * n, steps=steps, images=32 * steps, seconds=each, warmup=n == 1)
        for n, each in enumerate(seconds, start=1)
    ]


def test_windows_of_a_stopped_process_are_noted() -> None:
    """Seven windows of four seconds among others of half a second: the processors were idle meanwhile."""
    quiet = Surroundings(own=0.5, others=0.01, stolen=0.0)
    (note,) = disturbances(quiet, windows(0.5, *[0.5] * 32, *[4.0] * 7))
    assert note.startswith(
        "7 of 39 timed windows took more than 3 times as long per step as the fast ones, 24.5 s longer"
    )
    assert disturbances(quiet, windows(0.5, *[0.5] * 12, *[4.0] * 27))  # even where most windows are affected


def test_a_single_stop_of_any_length_is_noted() -> None:
    (note,) = disturbances(Surroundings(), windows(0.5, *[0.5] * 38, 32.0))
    assert note.startswith("1 of 39 timed windows")


@pytest.mark.parametrize(
    "seconds",
    [
        [4.0, *[0.5] * 39],  # a long warm-up
        [0.5, *[0.5] * 30, *[1.2] * 9],  # less than three times as long
        [0.02, *[0.02] * 38, 0.5],  # less than a second
        [0.5, 0.5, 4.0, 0.5],  # too few to know what is usual
        [],
    ],
)
def test_other_windows_are_not_interruptions(seconds: list[float]) -> None:
    assert disturbances(Surroundings(), windows(*seconds)) == []


def test_a_window_with_fewer_steps_is_compared_by_step() -> None:
    short = Window(step=500, steps=1, images=32, seconds=4.9)  # cut by the time limit of a window
    assert disturbances(Surroundings(), [*windows(*[0.5] * 20), short])
    last = Window(step=500, steps=1, images=32, seconds=0.05)
    assert not disturbances(Surroundings(), [*windows(*[0.5] * 20), last])
