"""Which share of a step's time a GPU waits for the host to launch the next operation."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import TypeAlias

import torch

from genbench.measure.clock import time_window
from genbench.train.engine import Eager, Engine, Execution
from genbench.train.engines import EngineUnavailable, open_execution
from genbench.train.state import state_kept

ROUNDS = 6  # of a window of each kind, in turn and back again
STEPS = 20  # in a window
Window: TypeAlias = Callable[[Callable[[], None], int, torch.device], tuple[int, float]]


def launch_bound_fraction(
    engine: Engine,
    device: torch.device,
    window: Window = time_window,
    open_graph: Callable[[Engine], Execution] | None = None,
) -> float | None:
    """Return which share of the eager step's time a replay of the same step saves; 0: the host is never waited for.

    It is 1 - (time of the replayed step / time of the eager one), each the median over windows that were taken in turn:
    the same operations on the same memory, launched once in place of one by one. The engine's state is put back.

    Args:
        engine: any; it is executed eagerly here, and as a graph without compiled networks.
        device: that the engine is on.
        window: runs so many steps and returns how many it ran and the seconds that they took.
        open_graph: captures the step; None: in a CUDA graph.

    Returns None where the step cannot be captured: there is no GPU, say.
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
                    engine.step()  # the first of each window finds the memory of the other's steps
                    done, taken = window(engine.step, STEPS, device)
                    seconds[execution.name].append(taken / done)
    finally:
        engine.execution = before
        graph.close()
    eager, replayed = (statistics.median(taken) for taken in seconds.values())
    return max(0.0, 1 - replayed / eager)
