"""NVIDIA's management library (NVML): the handle of a GPU, and the GPU's state."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch

from genbench.results.schema import GpuState

# The bits of NVML's nvmlClocksEventReasons, except those for an idle GPU and for clocks set by an application.
_REASONS = {
    0x4: "power cap by software",
    0x8: "hardware slowdown",
    0x20: "heat, by software",
    0x40: "heat, by hardware",
    0x80: "power brake by hardware",
}
# NVML's policies that reduce clocks (nvmlPerfPolicyType_t), by the reason above that they correspond to.
_POLICIES = {
    0: _REASONS[0x4],
    1: "heat",
    3: "limit of the board",
    5: "voltage",
}
POWER_CAP = _REASONS[0x4]  # usual for a data-centre GPU at full load: recorded, but not reported as interference


class NvmlUnavailable(Exception):
    """NVML cannot be used for this GPU; the message says why."""


def open_nvml(device: torch.device) -> tuple[Any, Any]:
    """Return the library and the handle of this GPU; raise `NvmlUnavailable` if there is none."""
    try:
        import pynvml  # type: ignore[import-untyped]
    except ImportError:
        raise NvmlUnavailable("reading a GPU's energy and state needs the package nvidia-ml-py") from None
    try:
        pynvml.nvmlInit()
        # By identifier: NVML numbers all GPUs, torch only those visible through CUDA_VISIBLE_DEVICES.
        uuid = str(torch.cuda.get_device_properties(device).uuid)
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid if uuid.startswith("GPU-") else f"GPU-{uuid}")
    except pynvml.NVMLError as error:
        raise NvmlUnavailable(f"NVML does not recognise this GPU: {error}") from None


def gpu_state(nvml: Any, handle: Any) -> GpuState:
    """Return the current state of a GPU; values that NVML does not provide are None."""

    def query(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except (nvml.NVMLError, AttributeError):  # not supported by this GPU or this version of the library
            return None

    power = query(lambda: nvml.nvmlDeviceGetPowerUsage(handle))  # milliwatts
    bits = query(lambda: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)) or 0
    processes = query(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle))
    return GpuState(
        sm_clock=query(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM)),
        highest_sm_clock=query(lambda: nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM)),
        memory_clock=query(lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM)),
        temperature=query(lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU)),
        power=None if power is None else power / 1e3,
        throttled=[reason for bit, reason in _REASONS.items() if bits & bit],
        slowed=_slowed(nvml, handle, query),
        other_processes=None if processes is None else _others(processes),
    )


def _slowed(nvml: Any, handle: Any, query: Callable[[Callable[[], Any]], Any]) -> dict[str, float] | None:
    """Return NVML's counters of violations in seconds; they cover the time between two queries, a sample does not."""
    found: dict[str, float] = {}
    for policy, reason in _POLICIES.items():
        counted = query(lambda: nvml.nvmlDeviceGetViolationStatus(handle, policy))  # noqa: B023 - called here
        if counted is not None:
            found[reason] = counted.violationTime / 1e9  # nanoseconds
    return found or None


def _others(processes: Sequence[Any]) -> int:
    """Return how many of these processes are not this one.

    In a container, NVML may report the host's process ids: if this process's own id is missing, one of the others is
    assumed to be this process.
    """
    own = sum(bool(process.pid == os.getpid()) for process in processes)
    return max(0, len(processes) - max(own, 1))
