"""Hard limits of a worker, and telling one kind of failure from another."""

from __future__ import annotations

import contextlib
import math
import resource

import torch

from genbench.measure.machine import available_bytes
from genbench.measure.memory import data_bytes

_MEMORY_WORDS = (
    *("can't allocate memory", "not enough memory", "out of memory", "DefaultCPUAllocator", "std::bad_alloc"),
    *("could not create a memory object", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
)


def limit_memory(gib: float | None, device: torch.device, processes: int = 1) -> float | None:
    """Bound the memory that this process can take beyond what it holds; return the bound in GiB, None for none.

    On the CPU, processes that train one cell share its memory in equal parts; on GPUs each has its own.

    What it holds is the interpreter with torch, about 1 GiB of address space. On the CPU the default is nine tenths of
    what is available, so that a cell which asks for too much fails by itself instead of dragging the machine down. On
    a GPU only an explicit limit is set, as a share of the device's memory. An infinite limit is none.
    """
    if gib == math.inf:
        return None
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if device.type == "cuda":
        if gib:
            total = torch.cuda.get_device_properties(device).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, gib * 2**30 / total), device)
        return gib or None
    available = available_bytes()
    limit = int(gib * 2**30) if gib else int(0.9 * available) if available else None
    if limit is None:
        return None
    limit //= processes
    with contextlib.suppress(ValueError, OSError):
        bound = data_bytes() + limit
        resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))  # Linux counts private writable mappings
    return limit / 2**30


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out, on the host or on the device."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(word in str(error) for word in _MEMORY_WORDS)
