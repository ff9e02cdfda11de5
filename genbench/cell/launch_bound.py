"""The launch-bound fraction: how much of a step the GPU spends waiting for the host to launch operations."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import TypeAlias

import torch

from genbench.measure.clock import time_window
from genbench.train.engine import Eager, Engine, Execution
from genbench.train.engines import EngineUnavailable, open_execution
from genbench.train.state import state_kept

ROUNDS = 6  # one window of each kind per round, in alternating order
STEPS = 20  # per window
Window: TypeAlias = Callable[[Callable[[], None], int, torch.device], tuple[int, float]]


def launch_bound_fraction(
    engine: Engine,
    device: torch.device,
    window: Window = time_window,
    open_graph: Callable[[Engine], Execution] | None = None,
) -> float | None:
    """Return the fraction of the eager step's time that a replay of the same step saves; 0: the GPU never waits.

    This is 1 - (time of the replayed step / time of the eager step), each the median over alternating windows: both
    run the same operations on the same memory, but the replay launches them all at once. The engine's state is
    restored.

    Args:
        engine: any engine; it is executed eagerly here, and as a graph without compiled networks.
        device: the device of the engine.
        window: runs that many steps; returns how many it ran and the seconds that they took.
        open_graph: captures the step; None: in a CUDA graph.

    Returns None if the step cannot be captured, for example without a GPU.
    """
    before = engine.execution
    try:
        graph = open_graph(engine) if open_graph else open_execution("graph", engine)
    except EngineUnavailable:
        return None
    seconds: dict[str, list[float]] = {"eager": [], graph.name: []}
    runners: list[Execution] = [Eager(), graph]
    try:
        with state_kept(engine):
            for number in range(ROUNDS):
                for execution in runners if number % 2 else reversed(runners):
                    engine.execution = execution
                    engine.step()  # not timed: it reuses the memory of the other execution
                    done, taken = window(engine.step, STEPS, device)
                    seconds[execution.name].append(taken / done)
    finally:
        engine.execution = before
        graph.close()
    eager, replayed = (statistics.median(taken) for taken in seconds.values())
    return max(0.0, 1 - replayed / eager)
