"""The most floating-point operations per second that a matrix product reaches on this machine, in a cell's precision.

What training could reach at best: a roofline's flat part (Williams et al. 2009, "Roofline: an insightful visual
performance model", CACM 52). Measured, since data sheets name clocks and units that a container may not have.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from genbench.measure.clock import synchronise

CPU_SECONDS, GPU_SECONDS = 0.05, 0.3  # that may be spent
_CPU_SIZES, _GPU_SIZES = (256, 512, 1024), (2048, 4096, 8192)
_REPEATS = 5  # of each size, at most


@dataclass(frozen=True)
class MatrixPeak:
    """The fastest product that was seen."""

    per_second: float  # floating-point operations, a multiplication and an addition being two
    size: int  # rows and columns of both factors
    format: str  # 'float32', 'bfloat16', 'tf32'
    where: str  # '2 threads', or the GPU's name

    def __str__(self) -> str:
        return f"{self.size}×{self.size} {self.format}, {self.where}"


def matrix_peak(
    device: torch.device, precision: str, seconds: float | None = None, clock: Callable[[], float] = time.perf_counter
) -> MatrixPeak:
    """Multiply square matrices, larger and larger, and return the best single time as a rate.

    Args:
        device: where.
        precision: of the recipe: 'bf16' multiplies in bfloat16, 'fp32' and 'tf32' float32 as torch is set up for them.
        seconds: that may be spent; a larger size is tried only where what is left suffices for two products.
    """
    gpu = device.type != "cpu"
    budget = seconds if seconds is not None else GPU_SECONDS if gpu else CPU_SECONDS
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    begin = clock()
    best, best_size = 0.0, 0
    for size in _GPU_SIZES if gpu else _CPU_SIZES:
        operations = 2 * size**3
        left = budget - (clock() - begin)
        if best and 2 * operations / best > left:
            break
        # Not all the same: a GPU draws less power, and clocks higher, for products of constants.
        factor = torch.linspace(-1, 1, size * size, device=device).to(dtype).reshape(size, size)
        product = torch.empty_like(factor)
        torch.mm(factor, factor, out=product)  # the first one of a size chooses how
        for _ in range(_REPEATS):
            synchronise(device)
            start = clock()
            torch.mm(factor, factor, out=product)
            synchronise(device)
            spent = max(clock() - start, 1e-9)
            if operations / spent > best:
                best, best_size = operations / spent, size
            if clock() - begin + spent > budget:
                break
    threads = torch.get_num_threads()
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{threads} thread{'s' * (threads != 1)}"
    return MatrixPeak(best, best_size, "tf32" if precision == "tf32" else str(dtype).removeprefix("torch."), where)
