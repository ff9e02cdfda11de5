"""NVIDIA's management library: one way to a GPU's handle, and what it says of the GPU's state."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch

from genbench.results.schema import GpuState

# The bits of NVML's nvmlClocksEventReasons but those of being idle, or of having been told a clock.
_REASONS = {
    0x4: "power cap by software",
    0x8: "hardware slowdown",
    0x20: "heat, by software",
    0x40: "heat, by hardware",
    0x80: "power brake by hardware",
}
POWER_CAP = _REASONS[0x4]  # usual for a data-centre GPU at full load: recorded, but no disturbance


class NvmlUnavailable(Exception):
    """NVML cannot be asked about this GPU; the message says why."""


def open_nvml(device: torch.device) -> tuple[Any, Any]:
    """Return the library and the handle of this GPU; raise `NvmlUnavailable` where there is none."""
    try:
        import pynvml  # type: ignore[import-untyped]
    except ImportError:
        raise NvmlUnavailable("reading a GPU's energy and state needs the package nvidia-ml-py") from None
    try:
        pynvml.nvmlInit()
        # By identifier: NVML counts all GPUs, torch only those that CUDA_VISIBLE_DEVICES shows.
        uuid = str(torch.cuda.get_device_properties(device).uuid)
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
    except pynvml.NVMLError as error:
        raise NvmlUnavailable(f"NVML does not know this GPU: {error}") from None


def gpu_state(nvml: Any, handle: Any) -> GpuState:
    """Return the state of a GPU now; what NVML does not tell of it is None."""

    def ask(question: Callable[[], Any]) -> Any:
        try:
            return question()
        except (nvml.NVMLError, AttributeError):  # not supported by this GPU, or by this version of the library
            return None

    power = ask(lambda: nvml.nvmlDeviceGetPowerUsage(handle))  # milliwatts
    bits = ask(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)) or 0
    processes = ask(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle))
    return GpuState(
        sm_clock=ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
        highest_sm_clock=ask(lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)),
        memory_clock=ask(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
        temperature=ask(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        power=None if power is None else power / 1e3,
        throttled=[reason for bit, reason in _REASONS.items() if bits & bit],
        other_processes=None if processes is None else _others(processes),
    )


def _others(processes: Sequence[Any]) -> int:
    """Return how many of these processes are not this one.

    In a container, NVML names processes as the host counts them, or one process under any name: of those whose number
    is not this process's, one is taken to be it where its own is missing.
    """
    own = sum(bool(process.pid == os.getpid()) for process in processes)
    return max(0, len(processes) - max(own, 1))
