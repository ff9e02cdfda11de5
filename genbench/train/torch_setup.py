"""Process-wide settings of torch, the same wherever steps are timed or counted.

`genbench run`, `ab`, a dry run, the fixture `genbench_step` and the benchmarks all use `set_up_torch` (in processes of
their own) and `step_settings`, so that they time the same step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from genbench.measure.matmul_precision import tf32


def set_up_torch(threads: int) -> None:
    """Set the number of threads, and make them treat denormal numbers, below 1.2e-38, as zero.

    The first moments of Adam become denormal if a weight no longer receives a gradient, for example of pixels that are
    almost always black: they decay by beta1 in each step. Most processors are many times slower with such numbers.
    Threads inherit the setting from the thread that starts them, so it must precede the first computation.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)


@contextmanager
def setup_restored() -> Iterator[None]:
    """Undo what `set_up_torch` sets in this process once the block ends."""
    flushed, threads = denormals_are_flushed(), torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_flush_denormal(flushed)
        torch.set_num_threads(threads)


@contextmanager
def step_settings(precision: str, threads: int | None = None) -> Iterator[None]:
    """Apply the settings for steps in a recipe's precision, and restore the previous ones.

    A GPU rounds the factors of fp32 matrix products and convolutions to TF32 with the precision 'tf32' alone. cuDNN
    times its algorithms for each new shape and uses the fastest. Denormal numbers are zero, in this thread and those
    that it starts. `threads` is needed where `set_up_torch` was not called, as in a process that others set up.
    """
    benchmark = torch.backends.cudnn.benchmark
    with setup_restored(), tf32(precision == "tf32"):
        torch.backends.cudnn.benchmark = True
        set_up_torch(threads or torch.get_num_threads())
        try:
            yield
        finally:
            torch.backends.cudnn.benchmark = benchmark


@contextmanager
def threads_used(threads: int) -> Iterator[None]:
    """Compute with this many threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def denormals_are_flushed() -> bool:
    """Whether the processor treats denormal numbers as zero in this thread."""
    return not bool(torch.tensor(2.0**-140) * 0.5)
