"""Energy from hardware counters: NVML on an NVIDIA GPU, RAPL on processors.

Both count the consumption of the whole device, including idle draw and other processes: the result is valid only on a
machine that does nothing else. RAPL (running average power limit) is read from Linux's powercap files, which usually
only root may read.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from genbench.measure.capabilities import can
from genbench.measure.nvml import NvmlUnavailable, open_nvml

POWERCAP = Path("/sys/class/powercap")


class EnergyUnavailable(Exception):
    """No energy counter can be read here; the message says why, and what would help."""


class EnergyMeter:
    """Joules and seconds between `start` and `stop`."""

    def __init__(
        self, read: Callable[[], dict[str, float]], source: str, wraps: dict[str, float] | None = None
    ) -> None:
        """Take a function that returns counters in joules by name, and the value at which each wraps around."""
        self._read, self.source, self._wraps = read, source, wraps or {}
        self._before: dict[str, float] = {}
        self._begin = 0.0

    def start(self) -> None:
        """Start measuring."""
        self._before, self._begin = self._read(), time.perf_counter()

    def seconds(self) -> float:
        """Return the seconds since `start`."""
        return time.perf_counter() - self._begin

    def stop(self) -> tuple[float, float]:
        """Return joules and seconds since `start`; a counter may have wrapped around once."""
        elapsed, now = self.seconds(), self._read()
        joules = 0.0
        for name, before in self._before.items():
            used = now[name] - before
            joules += used + self._wraps.get(name, 0.0) if used < 0 else used
        return joules, elapsed


def open_meter(device: torch.device, powercap: Path = POWERCAP) -> EnergyMeter:
    """Return the meter of a device; raise `EnergyUnavailable` if it has no readable counter."""
    return _nvml_meter(device) if can(device).nvml else _rapl_meter(powercap)


@dataclass(frozen=True)
class _Zone:
    path: Path
    wraps_at: float  # joules

    def joules(self) -> float:
        return int((self.path / "energy_uj").read_text()) / 1e6


def _rapl_meter(powercap: Path) -> EnergyMeter:
    zones: dict[str, _Zone] = {}
    # Packages only: their sub-zones (cores, memory controller) are included in them and would count twice.
    for path in sorted(powercap.glob("*-rapl:*")):
        if path.name.count(":") == 1:
            try:
                wraps_at = int((path / "max_energy_range_uj").read_text()) / 1e6
                zones[path.name] = _Zone(path, wraps_at)
                zones[path.name].joules()
            except PermissionError:
                raise EnergyUnavailable(
                    f"no permission to read the counters in {powercap}; run as root, or make energy_uj readable"
                ) from None
            except (OSError, ValueError) as error:
                raise EnergyUnavailable(f"the counters in {powercap} cannot be read: {error}") from None
    if not zones:
        raise EnergyUnavailable(f"this machine has no RAPL energy counters in {powercap}")
    return EnergyMeter(
        lambda: {name: zone.joules() for name, zone in zones.items()},
        f"RAPL, {len(zones)} processor package{'s' * (len(zones) != 1)}, idle draw included",
        {name: zone.wraps_at for name, zone in zones.items()},
    )


def _nvml_meter(device: torch.device) -> EnergyMeter:
    try:
        nvml, handle = open_nvml(device)
    except NvmlUnavailable as error:
        raise EnergyUnavailable(str(error)) from None
    try:
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError as error:
        raise EnergyUnavailable(f"NVML has no energy counter for this GPU: {error}") from None
    return EnergyMeter(
        lambda: {"gpu": nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3},  # millijoules
        "NVML total energy of the GPU, idle draw included",
    )
