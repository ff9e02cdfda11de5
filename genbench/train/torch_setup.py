"""What torch is told in each process that trains, before it computes anything."""

from __future__ import annotations

import torch


def set_up_torch(threads: int) -> None:
    """Set the number of threads, and have them take denormal numbers, below 1.2e-38, for zero.

    The first moments of Adam become such numbers where a weight gets no gradient any more, as those of pixels that are
    nearly always black: they fall by beta1 in each step. Most processors compute with them many times more slowly.
    Threads inherit the setting from the one that starts them, so it comes before the first computation.
    """
    torch.set_flush_denormal(True)
    torch.set_num_threads(threads)
