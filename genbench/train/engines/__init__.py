"""Executions of a training step other than the eager one, each opened by name.

`compile` runs networks and losses through torch.compile, `graph` replays a CUDA graph of the step, and `graph+compile`
replays a graph with compiled networks.
"""

from __future__ import annotations

from genbench.measure.capabilities import can
from genbench.train.engine import Eager, Engine, EngineUnavailable, Execution
from genbench.train.state import state_kept

__all__ = ["EngineUnavailable", "open_execution"]


def open_execution(name: str, engine: Engine) -> Execution:
    """Prepare the execution with this name (compile, capture); it can then be assigned to `engine.execution`.

    Preparation runs some steps, and then restores the engine's state, in the same tensors. The engine's execution is
    not replaced here. Raises `EngineUnavailable` if the execution cannot be prepared.
    """
    device = engine.rng.device
    if name.startswith("graph") and not can(device).graphs:
        raise EngineUnavailable("needs a CUDA device")
    with state_kept(engine):
        match name:
            case "eager":
                return Eager()
            case "compile":
                from genbench.train.engines.compiled import Compiled  # slow to import: loads torch's compiler

                return Compiled(engine)
            case "graph" | "graph+compile":
                return _capture(engine, compiled=name == "graph+compile")
    raise ValueError(f"there is no engine '{name}'")


def _capture(engine: Engine, compiled: bool) -> Execution:
    """Capture the step, with or without compiled networks."""
    from genbench.train.engines.graphed import Graphed

    if not compiled:
        return Graphed(engine)
    from genbench.train.engines.compiled import Compiled

    networks = Compiled(engine)
    try:
        return Graphed(engine, networks)
    except BaseException:
        networks.close()
        raise
