"""The machine and the software on it. Nothing here imports torch or touches a GPU."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

from genbench.system.means import psutil, uses_linux

PACKAGES = ("genbench", "torch", "torchvision", "numpy", "pluggy", "msgspec", "pytorch-fid", "safetensors", "pillow")


def processor() -> str:
    """Return the processor's model as the system names it; only its architecture if the system names no model."""
    described = ""
    if sys.platform == "darwin":  # whose Python names only the architecture
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            command = ("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string")
            done = subprocess.run(command, capture_output=True, text=True, timeout=10)
            described = f"model name: {done.stdout}"
    with contextlib.suppress(OSError):
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    return processor_model(described) or platform.processor() or platform.machine() or "unknown"


def processor_model(cpuinfo: str) -> str:
    """Return the model in the text of /proc/cpuinfo, or an empty text.

    Linux names x86 processors. Of ARM's it gives the implementer and the part of each core, which identify the model.
    """
    fields: dict[str, list[str]] = {}
    for line in cpuinfo.splitlines():
        name, colon, value = line.partition(":")
        if colon and value.strip():
            fields.setdefault(name.strip(), []).append(value.strip())
    if "model name" in fields:
        return fields["model name"][0]
    implementers, parts = fields.get("CPU implementer", []), fields.get("CPU part", [])
    cores = dict.fromkeys(zip(implementers, parts, strict=False))
    return "ARM " + ", ".join(f"{implementer}/{part}" for implementer, part in cores) if cores else ""


def usable_cores() -> float:
    """Return how many processors this process may use: its affinity, limited by a container's quota."""
    return min(float(len(usable_processors())), _quota())


def usable_processors() -> frozenset[int]:
    """Return the processors that this process may use; all of them where the system has no affinity, as macOS."""
    if uses_linux():
        return frozenset(os.sched_getaffinity(0))
    try:
        return frozenset(psutil().Process().cpu_affinity())
    except AttributeError:
        return frozenset(range(os.cpu_count() or 1))


def default_threads() -> int:
    """Return the number of torch threads that occupies all usable processors."""
    return max(1, math.floor(usable_cores()))


def memory_bytes() -> int | None:
    """Return the memory that this machine or container has, or None if unknown."""
    if not uses_linux():
        return int(psutil().virtual_memory().total)
    found = []
    with contextlib.suppress(OSError, ValueError, AttributeError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(name)
        if text.isdigit():
            found.append(int(text))
    return min(found) if found else None


def available_bytes() -> int | None:
    """Return the memory available now without swapping, or None if unknown."""
    if not uses_linux():
        return int(psutil().virtual_memory().available)
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
            limit = memory_bytes()
            return min(available, limit) if limit else available
    return None


def versions() -> dict[str, str]:
    """Return the versions of the packages that numbers depend on."""
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def host() -> str:
    """Return operating system and architecture; not the machine's name, which is private."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"


def load_average() -> float:
    """Return the one-minute load average, or 0 if there is none."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return 0.0


def openmp_settings() -> str:
    """Return the environment variables that control how idle OpenMP threads wait, which affects CPU timings."""
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME")
    return " ".join(f"{name}={os.environ[name]}" for name in names if name in os.environ)


def allocator_settings() -> str:
    """Return the environment variables that control how much freed memory the C library keeps."""
    names = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
    return " ".join(f"{name}={os.environ[name]}" for name in names if name in os.environ)


def has_nvidia_driver() -> bool:
    """Return whether an NVIDIA driver is loaded, even if torch cannot use it."""
    return any(Path(name).exists() for name in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg"))


def describe() -> dict[str, object]:
    """Return a description of the machine, without torch."""
    memory = memory_bytes()
    return {
        "processor": processor(),
        "cores": usable_cores(),
        "memory_gib": round(memory / 2**30, 1) if memory else None,
        "system": host(),
        "nvidia_driver": has_nvidia_driver(),
        "versions": versions(),
    }


@functools.cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _quota() -> float:
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    if quota.isdigit() and period.strip().isdigit():
        return int(quota) / int(period)
    quota, period = _read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), _read("/sys/fs/cgroup/cpu/cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit():
        return int(quota) / int(period)
    return math.inf


def _read(name: str) -> str:
    try:
        return Path(name).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
