"""The peak floating-point operations per second of matrix products on this machine, in a cell's precision.

It is an upper bound for training: the flat part of a roofline (Williams et al. 2009, "Roofline: an insightful visual
performance model", CACM 52). It is measured because a container may not have the clocks and units of the data sheet.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from genbench.measure.accelerator import accelerator_name
from genbench.measure.clock import synchronise

CPU_SECONDS, GPU_SECONDS = 0.05, 0.3  # time limits
_CPU_SIZES, _GPU_SIZES = (256, 512, 1024), (2048, 4096, 8192)
_REPEATS = 5  # per size, at most


@dataclass(frozen=True)
class MatrixPeak:
    """The fastest matrix product measured."""

    per_second: float  # floating-point operations; a multiply-add counts as two
    size: int  # rows and columns of both factors
    format: str  # 'float32', 'bfloat16', 'tf32'
    where: str  # '2 threads', or the GPU's name

    def __str__(self) -> str:
        return f"{self.size}×{self.size} {self.format}, {self.where}"


def matrix_peak(
    device: torch.device, precision: str, seconds: float | None = None, clock: Callable[[], float] = time.perf_counter
) -> MatrixPeak:
    """Multiply square matrices of increasing size, and return the rate of the fastest product.

    Args:
        device: the device to measure.
        precision: of the recipe: 'bf16' multiplies in bfloat16, 'fp32' and 'tf32' in float32, as set up in torch.
        seconds: time limit; a larger size is tried only if the remaining time suffices for two products.
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
        # Random values, as in training: with similar ones a GPU draws less power and clocks higher.
        generator = torch.Generator(device).manual_seed(size)
        factor = torch.randn(size, size, generator=generator, device=device, dtype=dtype)
        product = torch.empty_like(factor)
        torch.mm(factor, factor, out=product)  # the first product of a size selects the kernel
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
    where = accelerator_name(device) or f"{threads} thread{'s' * (threads != 1)}"
    return MatrixPeak(best, best_size, "tf32" if precision == "tf32" else str(dtype).removeprefix("torch."), where)
