"""Peak memory of this process and of the GPU."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

from genbench.results.schema import Memory


def resident_bytes() -> int:
    """Return the resident memory of this process now (0 if unknown)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * resource.getpagesize()


def data_bytes() -> int:
    """Return the private writable address space of this process (0 if unknown)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData:")), 0)


def read_peak(device: torch.device, baseline: int) -> Memory:
    """Return peak memory since the process started (host) or since it first used the GPU."""
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    if device.type != "cuda":
        return Memory(peak_rss=peak, baseline_rss=baseline)
    return Memory(
        peak_rss=peak,
        baseline_rss=baseline,
        peak_allocated=torch.cuda.max_memory_allocated(device),
        peak_reserved=torch.cuda.max_memory_reserved(device),
    )
