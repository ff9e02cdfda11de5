"""Running networks and losses through torch.compile during a step; the rest of the step is unchanged.

Each network and each function of the loss is compiled, not the objective of a phase as a whole: a phase may pass its
autograd graph to the next one, as the adversarial families do with their fakes, but a compiled function frees its graph
in the first backward pass. Only calls within a step are compiled: evaluation and sampling use other batch sizes and
modes, which would trigger recompilation. Parts that cannot be compiled run eagerly, and `notes` say why.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import torch
import torch._dynamo
import torch._functorch.config
import torch._inductor.config
from torch import nn

from genbench.measure.capabilities import can
from genbench.train.engine import Engine, EngineUnavailable, Execution
from genbench.train.loss_functions import PENALTIES, ReplaceableFunction
from genbench.train.player import Player
from genbench.train.state import thaw

BACKEND = "inductor"
RECOMPILES = 64  # of one function; all networks share `Module._call_impl`, for which the default of 8 is too low
_OPTIONS: dict[str, dict[str, Any]] = {
    "inductor": {"fallback_random": True}
}  # dropout draws the same numbers as in eager mode


class _Part(Protocol):
    """Something whose calls can be compiled."""

    title: str

    def switch(self, on: bool) -> None:
        """Use the compiled version for calls, or the original one."""


class _Network:
    """A network."""

    def __init__(self, name: str, module: nn.Module, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self.title = f"the network '{name}'"
        self._attributes = module.__dict__
        self._compiled = make(module._call_impl)

    def switch(self, on: bool) -> None:
        # As `nn.Module.compile` does, but without `__setattr__`, which takes microseconds.
        if on:
            self._attributes["_compiled_call_impl"] = self._compiled
        else:
            self._attributes.pop("_compiled_call_impl", None)


class _Function:
    """A function of the loss."""

    def __init__(
        self, name: str, place: ReplaceableFunction, make: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        self.title = f"the function '{name}' of the loss"
        self._place = place
        self._compiled = make(place.function)

    def switch(self, on: bool) -> None:
        self._place.current = self._compiled if on else self._place.function


class Compiled(Execution):
    """Uses compiled calls while a step runs.

    The constructor compiles everything by running a step for each network and function: call it inside `state_kept`.

    Args:
        engine: with every phase, in the shapes and precision in which it will run.
        backend: of torch.compile; 'aot_eager' needs no compiler and is no faster than eager.

    Raises `EngineUnavailable` if there is no compiler, or if nothing could be compiled.
    """

    name = "compile"

    def __init__(self, engine: Engine, backend: str = BACKEND) -> None:
        if backend == BACKEND:
            require_compiler(engine.rng.device)
            if engine.rng.device.type == "cpu" and "TORCHINDUCTOR_COMPILE_THREADS" not in os.environ:
                # Only one C++ file is compiled at a time; worker processes would bring nothing and stay alive.
                torch._inductor.config.compile_threads = 1
        if any(player.phase.joint for player in engine.players):
            # Joint phases run several backward passes through one graph, so none may reuse its memory.
            torch._functorch.config.donated_buffer = False
        torch._dynamo.config.recompile_limit = max(RECOMPILES, torch._dynamo.config.recompile_limit)

        def make(function: Callable[..., Any]) -> Callable[..., Any]:
            return torch.compile(function, dynamic=False, backend=backend, options=_OPTIONS.get(backend))

        modules: dict[nn.Module, str] = {}
        for name, module in engine.networks.items():
            modules.setdefault(module, name)
        parts: list[_Part] = [_Network(name, module, make) for module, name in modules.items()]
        parts += [_Function(name, place, make) for name, place in engine.functions.items() if name not in PENALTIES]
        self.notes: Sequence[str] = ()
        self._parts: list[_Part] = []
        self._penalties = [place for name, place in engine.functions.items() if name in PENALTIES]
        self._prepare(engine, parts)

    def run(self, engine: Engine, due: Sequence[Player]) -> None:
        """Run the phases with compiled calls; without them if there is an observer."""
        if engine.observer is not None:
            engine.run_phases(due)
            return
        with self.compiled_calls():
            engine.run_phases(due)

    @contextmanager
    def compiled_calls(self) -> Iterator[None]:
        """Use compiled calls inside, except in penalties."""
        self._switch(True)
        try:
            yield
        finally:
            self._switch(False)

    def close(self) -> None:
        """Discard the compiled versions."""
        self._switch(False)
        self._parts = []

    def _prepare(self, engine: Engine, parts: Sequence[_Part]) -> None:
        """Compile the parts one after the other; leave out those with which a step fails."""
        failed: dict[str, str] = {}
        for part in parts:
            self._parts.append(part)
            engine.step_number = 0  # every phase is due
            try:
                with self.compiled_calls():
                    engine.run_phases(engine.players)
            except Exception as error:
                self._parts.remove(part)
                failed[part.title] = _first_line(error)
                thaw(engine)
        if not self._parts:
            raise EngineUnavailable(next(iter(failed.values()), "there is nothing to compile"))
        self.notes = tuple(
            f"{title} could not be compiled and runs eagerly: {reason}" for title, reason in failed.items()
        )

    def _switch(self, on: bool) -> None:
        for part in self._parts:
            part.switch(on)
        for penalty in self._penalties:
            penalty.current = partial(self._uncompiled, penalty.function) if on else penalty.function

    def _uncompiled(self, penalty: Callable[..., Any], *inputs: Any) -> Any:
        """Call a penalty with uncompiled networks: compiled code cannot be differentiated twice."""
        for part in self._parts:
            part.switch(False)
        try:
            return penalty(*inputs)
        finally:
            for part in self._parts:
                part.switch(True)


def require_compiler(device: torch.device) -> None:
    """Raise `EngineUnavailable` if torch's compiler cannot generate machine code for this device."""
    if can(device).compiler == "triton":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise EngineUnavailable("no version of Triton that supports this GPU was found")
        return
    if can(device).compiler != "c++":
        return
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        compiler = get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise EngineUnavailable("no C++ compiler was found") from error
    if shutil.which(compiler) is None:
        raise EngineUnavailable(f"no C++ compiler was found: there is no '{compiler}'")


def _first_line(error: Exception) -> str:
    """Return the first line of the underlying error of torch's compiler."""
    inner = getattr(error, "inner_exception", None)
    cause = inner if isinstance(inner, Exception) else error
    first = next((line.strip() for line in str(cause).splitlines() if line.strip()), "")
    return f"{type(cause).__name__}: {first}".rstrip(".: ")
