"""Networks and losses through torch.compile while a step runs; everything else of the step stays as it is.

What is compiled is each network and each function of the loss, not a phase's objective as a whole: a phase may leave a
graph for the next one, as the adversarial families do with their fakes, and a compiled function frees its graph in the
first backward pass. Only the step's own calls are compiled: evaluation and sampling have other batch sizes and modes,
for which everything would be compiled again. What cannot be compiled runs eagerly alone, and `notes` say why.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
import torch._dynamo
import torch._inductor.config
from torch import nn

from genbench.train.engine import Engine, EngineUnavailable, Player
from genbench.train.loss_functions import PENALTY, ReplaceableFunction
from genbench.train.state import thaw

BACKEND = "inductor"
RECOMPILES = 64  # of one function: all networks share `Module._call_impl`, whose default of 8 is soon used up
_OPTIONS: dict[str, dict[str, Any]] = {"inductor": {"fallback_random": True}}  # draws what dropout draws eagerly


class _Part(Protocol):
    """Something whose calls can be compiled."""

    title: str

    def switch(self, on: bool) -> None:
        """Make its calls compiled ones, or not."""


class _Network:
    """A network, called as a module is."""

    def __init__(self, name: str, module: nn.Module, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        self.title = f"the network '{name}'"
        self._attributes = module.__dict__
        self._compiled = make(module._call_impl)

    def switch(self, on: bool) -> None:
        # Where `nn.Module.compile` puts it; past `__setattr__`, which takes microseconds.
        if on:
            self._attributes["_compiled_call_impl"] = self._compiled
        else:
            self._attributes.pop("_compiled_call_impl", None)


class _Function:
    """A function of the loss."""

    def __init__(
        self, name: str, place: ReplaceableFunction, make: Callable[[Callable[..., Any]], Callable[..., Any]]
    ) -> None:
        self.title = f"the loss' function '{name}'"
        self._place = place
        self._compiled = make(place.function)

    def switch(self, on: bool) -> None:
        self._place.current = self._compiled if on else self._place.function


class Compiled:
    """Compiled calls, in force while a step runs.

    To construct it compiles everything, which takes a step for each network and function: call it inside `state_kept`.

    Args:
        engine: with every phase, in the shapes and the precision that it will be run with.
        backend: of torch.compile; 'aot_eager' needs no compiler and is no faster than eager.

    Raises `EngineUnavailable` where there is no compiler, or where nothing could be compiled.
    """

    name = "compile"

    def __init__(self, engine: Engine, backend: str = BACKEND) -> None:
        if backend == BACKEND:
            require_compiler(engine.rng.device)
            if engine.rng.device.type == "cpu" and "TORCHINDUCTOR_COMPILE_THREADS" not in os.environ:
                # There is one file of C++ at a time to compile; processes to share that work would outlive it.
                torch._inductor.config.compile_threads = 1
        torch._dynamo.config.recompile_limit = max(RECOMPILES, torch._dynamo.config.recompile_limit)

        def make(function: Callable[..., Any]) -> Callable[..., Any]:
            return torch.compile(function, dynamic=False, backend=backend, options=_OPTIONS.get(backend))

        modules: dict[nn.Module, str] = {}
        for name, module in engine.networks.items():
            modules.setdefault(module, name)
        parts: list[_Part] = [_Network(name, module, make) for module, name in modules.items()]
        parts += [_Function(name, place, make) for name, place in engine.functions.items() if name != PENALTY]
        self.notes: Sequence[str] = ()
        self._parts: list[_Part] = []
        self._penalty = engine.functions.get(PENALTY)
        self._prepare(engine, parts)

    def run(self, engine: Engine, due: Sequence[Player]) -> None:
        """Run the phases with compiled calls; uncompiled where somebody looks into the step."""
        if engine.observer is not None:
            engine.run_phases(due)
            return
        with self.in_force():
            engine.run_phases(due)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Make calls compiled ones inside; penalties see the networks as they are."""
        self._switch(True)
        try:
            yield
        finally:
            self._switch(False)

    def close(self) -> None:
        """Forget what was compiled."""
        self._switch(False)
        self._parts = []

    def _prepare(self, engine: Engine, parts: Sequence[_Part]) -> None:
        """Compile one part after the other; leave out those with which a step fails."""
        failed: dict[str, str] = {}
        for part in parts:
            self._parts.append(part)
            engine.step_number = 0  # in which every phase is due
            try:
                with self.in_force():
                    engine.run_phases(engine.players)
            except Exception as error:
                self._parts.remove(part)
                failed[part.title] = _reason(error)
                thaw(engine)
        if not self._parts:
            raise EngineUnavailable(next(iter(failed.values()), "there is nothing to compile"))
        self.notes = tuple(f"{title} runs eagerly, it could not be compiled: {why}" for title, why in failed.items())

    def _switch(self, on: bool) -> None:
        for part in self._parts:
            part.switch(on)
        if self._penalty is not None:
            self._penalty.current = self._uncompiled_penalty if on else self._penalty.function

    def _uncompiled_penalty(self, *inputs: Any) -> Any:
        """Call the penalty on networks as they are: compiled code cannot be differentiated twice."""
        assert self._penalty is not None
        for part in self._parts:
            part.switch(False)
        try:
            return self._penalty.function(*inputs)
        finally:
            for part in self._parts:
                part.switch(True)


def require_compiler(device: torch.device) -> None:
    """Raise `EngineUnavailable` where torch's compiler finds nothing to make machine code with."""
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        if not has_triton():
            raise EngineUnavailable("no Triton that works on this GPU was found")
        return
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        compiler = get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise EngineUnavailable("no C++ compiler was found") from error
    if shutil.which(compiler) is None:
        raise EngineUnavailable(f"no C++ compiler was found: there is no '{compiler}'")


def _reason(error: Exception) -> str:
    """Return the first line of the cause that torch's compiler wraps."""
    inner = getattr(error, "inner_exception", None)
    cause = inner if isinstance(inner, Exception) else error
    first = next((line.strip() for line in str(cause).splitlines() if line.strip()), "")
    return f"{type(cause).__name__}: {first}".rstrip(".: ")
