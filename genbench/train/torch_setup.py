"""Process-wide settings of torch for every process that trains."""

from __future__ import annotations

import torch


def set_up_torch(threads: int) -> None:
    """Set the number of threads, and make them treat denormal numbers, below 1.2e-38, as zero.

    The first moments of Adam become denormal if a weight no longer receives a gradient, for example of pixels that are
    almost always black: they decay by beta1 in each step. Most processors are many times slower with such numbers.
    Threads inherit the setting from the thread that starts them, so it must precede the first computation.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
