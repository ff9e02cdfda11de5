"""The memory limit of a worker, and recognising the errors that running out of memory causes."""

from __future__ import annotations

import contextlib
import math

import torch

from genbench.measure.capabilities import can, is_accelerator
from genbench.measure.machine import available_bytes
from genbench.measure.memory import data_bytes
from genbench.system.means import uses_linux

_MEMORY_WORDS = (
    *("can't allocate memory", "not enough memory", "out of memory", "DefaultCPUAllocator", "std::bad_alloc"),
    *("could not create a memory object", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
)
# cuDNN rejects every algorithm whose workspace cannot be allocated, and then says only that none is left.
_NO_ALGORITHM = ("unable to find an engine", "unable to find a valid cudnn algorithm")
_SCARCE = 0.1  # of the memory


def limit_memory(gib: float | None, device: torch.device, processes: int = 1) -> float | None:
    """Limit the memory that this process can allocate in addition to what it uses; return the limit in GiB, or None.

    An infinite limit means none. Only Linux can limit the memory of a process; a GPU can everywhere.

    It already uses about 1 GiB of address space for the interpreter and torch. On a CPU the default is nine tenths of
    the available memory, so that a cell that needs more fails without affecting the machine; processes that train one
    cell get equal parts. On a GPU only an explicit limit is set, for each process, as a fraction of the device's
    memory.
    """
    if gib == math.inf:
        return None
    if uses_linux():
        _write_no_core()
    if is_accelerator(device):
        if not (gib and can(device).memory_share):
            return None
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, gib * 2**30 / total), device)
        return gib
    if not uses_linux():
        return None  # no other system limits what a process maps
    available = available_bytes()
    limit = int(gib * 2**30) if gib else int(0.9 * available) if available else None
    if limit is None:
        return None
    limit //= processes
    import resource

    with contextlib.suppress(ValueError, OSError):
        bound = data_bytes() + limit
        resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))  # Linux counts private writable mappings
    return limit / 2**30


def _write_no_core() -> None:
    import resource

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the host or the device ran out of memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if not isinstance(error, RuntimeError | OSError):
        return False
    text = str(error)
    if any(word in text for word in _MEMORY_WORDS):
        return True
    return any(word in text.lower() for word in _NO_ALGORITHM) and _gpu_memory_is_scarce()


def _gpu_memory_is_scarce() -> bool:
    """Whether the current GPU has less than a tenth of its memory left, or this process of its share."""
    try:
        free, total = torch.cuda.mem_get_info()
        fraction: float = getattr(
            torch.cuda, "get_per_process_memory_fraction", lambda: 1.0
        )()  # older versions of torch lack it
        used = torch.cuda.max_memory_reserved()
    except (RuntimeError, AssertionError):  # a GPU that has failed
        return False
    return free < _SCARCE * total or used > (1 - _SCARCE) * fraction * total
