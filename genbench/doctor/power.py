"""Energy and clocks: whether the counters count, and the GPU keeps its clocks under load."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from genbench.doctor.devices import NO_GPU, chosen_device, gpu_that_can
from genbench.doctor.finding import Figure, Finding, failed, not_applicable, passed, warning

if TYPE_CHECKING:
    import torch

T = TypeVar("T")
_SECONDS = 1.0  # of load: NVML's counter is updated at most every 0.1 s
_KEPT = 0.7  # share of the highest clock that a GPU should keep under load


def energy(device: str) -> Finding:
    """Read the energy counter before and after a second of load; it must advance by a plausible amount."""
    from genbench.measure.energy import EnergyUnavailable, open_meter

    target = chosen_device(device)
    try:
        meter = open_meter(target)
    except EnergyUnavailable as error:
        return not_applicable(str(error))
    meter.start()
    joules, seconds = _under_load(target, meter.stop)
    figures = (Figure("energy", joules, "J"), Figure("power", joules / seconds, "W"))
    if joules <= 0:
        return failed(
            f"The counter ({meter.source}) did not advance in {seconds:.1f} s of load.",
            "Energies of results would be 0: update the driver, or use --energy-seconds 0.",
            *figures,
        )
    return passed(*figures)


def gpu_clocks(device: str) -> Finding:
    """Read the GPU's clocks after a second of load, while it is still busy."""
    from genbench.measure.nvml import POWER_CAP, NvmlUnavailable, gpu_state, open_nvml

    target = gpu_that_can(device, "nvml")
    if target is None:
        return NO_GPU
    try:
        nvml, handle = open_nvml(target)
    except NvmlUnavailable as error:
        return not_applicable(str(error))
    state = _under_load(target, lambda: gpu_state(nvml, handle))
    figures = [
        Figure(name, value, unit)
        for name, value, unit in (
            ("SM clock", state.sm_clock, "MHz"),
            ("highest SM clock", state.highest_sm_clock, "MHz"),
            ("memory clock", state.memory_clock, "MHz"),
            ("temperature", state.temperature, "°C"),
            ("power", state.power, "W"),
        )
        if value is not None
    ]
    causes = [reason for reason in state.throttled if reason != POWER_CAP]
    if causes:
        return warning(
            f"The GPU is slowed down: {', '.join(causes)}.",
            "Check its cooling and power supply (nvidia-smi -q).",
            *figures,
        )
    if state.sm_clock and state.highest_sm_clock and state.sm_clock < _KEPT * state.highest_sm_clock:
        return warning(
            f"Under load the GPU runs at {state.sm_clock / state.highest_sm_clock:.0%} of its highest clock.",
            "Look for a power limit or locked clocks: nvidia-smi -q -d CLOCK,POWER.",
            *figures,
        )
    return passed(*figures)


def _under_load(device: torch.device, look: Callable[[], T]) -> T:
    """Multiply matrices for a second, and return what `look` returns while the device is still busy."""
    import torch

    from genbench.measure.clock import synchronise

    size = 512 if device.type == "cpu" else 4096
    matrix = torch.randn(size, size, device=device, generator=torch.Generator(device).manual_seed(0))

    def queue() -> None:
        for _ in range(10):
            torch.mm(matrix, matrix)

    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        queue()
        synchronise(device)
    queue()
    found = look()
    synchronise(device)
    return found
