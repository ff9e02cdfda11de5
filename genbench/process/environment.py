"""The environment of processes that train: idle threads soon sleep, and freed memory stays with the process."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping

# How often an idle OpenMP thread polls for work before it sleeps. By default it polls for milliseconds, and a training
# whose other thread lost its processor to another process becomes tens of times slower. With this count an idle machine
# is as fast as by default, and a busy one loses only the share that others take.
SPIN_COUNT = "20000"

# Activations and gradients are freed and allocated again in every step. glibc returns large blocks to the kernel, and
# allocating them again costs a page fault for each page; these thresholds make it keep them. Versions before 2.35
# refuse a threshold above 32 MiB, and then also switch off the one that adapts itself.
KEPT_BYTES = 1 << 30
LARGEST_OLD_THRESHOLD = 32 << 20

# Parameters of glibc's mallopt (malloc.h) that these variables set when a program starts.
_MALLOPT = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3}


def worker_environment(given: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the given environment with settings of OpenMP and malloc, unless the user has chosen such settings."""
    own = {} if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(given) else {"GOMP_SPINCOUNT": SPIN_COUNT}
    if not any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in given):
        threshold = KEPT_BYTES if _glibc_version() >= (2, 35) else LARGEST_OLD_THRESHOLD
        own |= {"MALLOC_MMAP_THRESHOLD_": str(threshold), "MALLOC_TRIM_THRESHOLD_": str(KEPT_BYTES)}
    return {**given, **own}


def adopt_worker_environment() -> None:
    """Give this process, which has already started, the settings of a worker, as far as that is still possible.

    glibc can change its thresholds at any time. OpenMP reads its variables when torch is imported; after that they stay
    as they are. A variable is set only where its setting takes effect, because results record it.
    """
    for name, value in worker_environment().items():
        if name in os.environ:
            continue
        if name in _MALLOPT:
            if _glibc_version() and ctypes.CDLL(None).mallopt(_MALLOPT[name], int(value)) == 1:
                os.environ[name] = value
        elif "torch" not in sys.modules:
            os.environ[name] = value


def _glibc_version() -> tuple[int, ...]:
    """Return the version; empty for any other C library, which does not know these settings."""
    try:
        _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        return tuple(map(int, version.split(".")))
    except (ValueError, OSError, AttributeError):
        return ()
