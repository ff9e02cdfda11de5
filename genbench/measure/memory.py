"""Peak memory of this process and of the GPU."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from genbench.measure.capabilities import can
from genbench.results.schema import Memory
from genbench.system.means import psutil, uses_linux


def resident_bytes() -> int:
    """Return the resident memory of this process now (0 if unknown)."""
    if not uses_linux():
        return int(psutil().Process().memory_info().rss)
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * mmap.PAGESIZE


def data_bytes() -> int:
    """Return the private writable address space of this process (0 if unknown, as elsewhere than on Linux)."""
    return _status_bytes("VmData:")


def _status_bytes(name: str) -> int:
    """Return a size that Linux states for this process (0 if unknown)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(name)), 0)


class PeakMemory:
    """Peak memory of timed training steps, and of the whole process.

    The peak of the process includes what comes before the timed steps: trial workspaces of cuDNN, engines that were
    tried and not used, copies of the weights for comparing them, and evaluations.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process = _Peak()
        self._steps = _Peak()

    @contextmanager
    def steps(self) -> Iterator[None]:
        """Count the memory that is used inside as that of training steps."""
        self._process = self._process.joined(_read(self._device))
        known = _reset(self._device)
        yield
        found = _read(self._device)
        self._steps = self._steps.joined(found if known else _Peak(allocated=found.allocated, reserved=found.reserved))

    def read(self, baseline: int) -> Memory:
        """Return the peaks so far in bytes; `baseline` is the resident memory before the data was loaded."""
        self._process = self._process.joined(_read(self._device))
        gpu = can(self._device).memory_peaks
        return Memory(
            peak_rss=self._process.resident,
            baseline_rss=baseline,
            training_rss=self._steps.resident or None,
            peak_allocated=(self._steps.allocated or self._process.allocated) if gpu else None,
            peak_reserved=(self._steps.reserved or self._process.reserved) if gpu else None,
            process_allocated=self._process.allocated if gpu else None,
            process_reserved=self._process.reserved if gpu else None,
        )


@dataclass(frozen=True)
class _Peak:
    """Peaks in bytes; 0 where nothing is known."""

    resident: int = 0
    allocated: int = 0
    reserved: int = 0

    def joined(self, other: _Peak) -> _Peak:
        return _Peak(
            max(self.resident, other.resident),
            max(self.allocated, other.allocated),
            max(self.reserved, other.reserved),
        )


def _read(device: torch.device) -> _Peak:
    """Return the peaks since the last `_reset`."""
    resident = _peak_resident_bytes()
    if not can(device).memory_peaks:
        return _Peak(resident)
    module = torch.get_device_module(device)
    return _Peak(resident, module.max_memory_allocated(device), module.max_memory_reserved(device))


def _peak_resident_bytes() -> int:
    """Return the largest resident memory of this process so far."""
    if sys.platform == "win32":
        return int(psutil().Process().memory_info().peak_wset)
    if uses_linux() and (peak := _status_bytes("VmHWM:")):
        return peak  # `getrusage` includes the program that started this one, even after a reset
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _reset(device: torch.device) -> bool:
    """Let the peaks begin with the present values; return whether that is possible for resident memory (on Linux)."""
    if can(device).memory_peaks:
        torch.get_device_module(device).reset_peak_memory_stats(device)
    if not uses_linux():
        return False
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak, nothing else
    except OSError:
        return False
    return True
