"""Short windows of steps, which compare ways to execute them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from genbench.measure.clock import time_window
from genbench.train.engine import Engine, Execution

MAX_STEPS = 200  # in a window


@contextlib.contextmanager
def executed_by(engine: Engine, execution: Execution) -> Iterator[None]:
    """Let another execution run the steps inside."""
    before, engine.execution = engine.execution, execution
    try:
        yield
    finally:
        engine.execution = before


def seconds_per_step(engine: Engine, seconds: float) -> float:
    """Return the seconds per step in a window of about this length, after an untimed step."""
    device = engine.rng.device
    engine.step()
    once = time_window(engine.step, 1, device)[1]
    steps = min(MAX_STEPS, max(1, round(seconds / max(once, 1e-6))))
    done, taken = time_window(engine.step, steps, device)
    return taken / done
