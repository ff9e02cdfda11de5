"""Ways to execute a training step other than eagerly, each opened by its name.

`compile` runs networks and losses through torch.compile, `graph` replays the step as captured on the GPU, and
`graph+compile` captures it with compiled networks.
"""

from __future__ import annotations

from genbench.train.engine import Eager, Engine, EngineUnavailable, Execution
from genbench.train.state import state_kept

__all__ = ["EngineUnavailable", "open_execution"]


def open_execution(name: str, engine: Engine) -> Execution:
    """Return the execution of this name, ready to be `engine.execution`: compiled, captured.

    To prepare takes some steps, after which the engine's state is what it was, in the same tensors; the engine's
    execution is not exchanged here. Raises `EngineUnavailable` where it cannot be prepared.
    """
    device = engine.rng.device
    if name.startswith("graph") and device.type != "cuda":
        raise EngineUnavailable("needs a CUDA device")
    with state_kept(engine):
        match name:
            case "eager":
                return Eager()
            case "compile":
                from genbench.train.engines.compiled import Compiled  # imports much of torch's compiler

                return Compiled(engine)
            case "graph" | "graph+compile":
                return _graphed(engine, compiled=name == "graph+compile")
    raise ValueError(f"there is no engine '{name}'")


def _graphed(engine: Engine, compiled: bool) -> Execution:
    """Capture the step, with compiled networks where it is asked for."""
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
