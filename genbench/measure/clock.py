"""Timing windows of steps: one synchronisation at each end, none inside."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

from genbench.measure.throughput import WINDOW_SECONDS

ACCELERATOR_WARMUP_SECONDS = 1.0  # clocks rise from those of an idle device; its first kernels are loaded


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished all queued work."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def time_window(
    step: Callable[[], None],
    steps: int,
    device: torch.device,
    clock: Callable[[], int] = time.perf_counter_ns,
    meet: Callable[[], None] | None = None,
) -> tuple[int, float]:
    """Run up to `steps` steps without device synchronisation; return how many ran and the seconds they took.

    `meet` is a barrier with the other processes that train the same networks. With it, all steps are run: no process
    may end a window by its own clock. The slowest process determines the time.
    """
    synchronise(device)
    if meet is not None:
        meet()
    begin = clock()
    deadline = begin + int(WINDOW_SECONDS * 1e9)
    done = 0
    while done < steps:
        step()
        done += 1
        if meet is None and clock() > deadline:
            break
    synchronise(device)
    if meet is not None:
        meet()
    return done, (clock() - begin) / 1e9


def warm_up(step: Callable[[], None], steps: int, device: torch.device) -> float:
    """Run this many steps before the first window, on an accelerator for `ACCELERATOR_WARMUP_SECONDS` at least.

    Returns the seconds per step at the end; 0.0 without any step.
    """
    if not steps:
        return 0.0
    done, seconds = time_window(step, steps, device)
    left = 0.0 if device.type == "cpu" else ACCELERATOR_WARMUP_SECONDS - seconds
    while left > 0:
        done, seconds = time_window(step, max(1, math.ceil(left * done / seconds)) if seconds else done, device)
        left -= seconds
    return seconds / done
