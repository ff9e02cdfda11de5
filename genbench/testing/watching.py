"""Watching a step: what it reads on the host, what memory it keeps, which gradients reach whom."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from genbench.exchange import Objective, Phase
from genbench.testing.blame import caller
from genbench.train.engine import Engine

# What leads to a copy to the host: methods of tensors, by name, and operations beneath them whose result the host waits
# for, because it is a number or has a size that depends on values.
_METHODS = {
    *("item", "tolist", "numpy", "cpu", "nonzero", "__array__", "__bool__", "__float__", "__int__", "__index__"),
    *("__repr__", "__str__", "__format__", "__contains__"),
}
_OPERATIONS = {
    *("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive"),
    *("equal", "is_nonzero"),
}


class HostReads:
    """Takes down each read of a tensor on the host while it is entered, with the line of the plugin that asks."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self.paused = False  # inside of an operation that reads on a CPU only

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch what happens inside."""
        with _Methods(self), _Operations(self):
            yield

    def note(self, what: str) -> None:
        """Take down a read, unless it is genbench's own."""
        where = "" if self.paused else caller()
        seen = f"{what}{where}"
        if where and not any(known.endswith(where) for known in self.found):
            self.found.append(seen)


class _Methods(TorchFunctionMode):
    def __init__(self, reads: HostReads) -> None:
        super().__init__()
        self.reads = reads

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _METHODS or (name == "to" and "cpu" in args):
            self.reads.note(f"Tensor.{name}")
        self.reads.paused = name == "one_hot" and _says_how_many(args, kwargs or {})
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.reads.paused = False


def _says_how_many(args: Any, kwargs: Any) -> bool:
    """Whether one_hot is told the number of classes: it then looks at the labels on a CPU only."""
    return isinstance(kwargs.get("num_classes", args[-1]), int) and kwargs.get("num_classes", args[-1]) != -1


class _Operations(TorchDispatchMode):
    def __init__(self, reads: HostReads) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reads = reads

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._overloadpacket.__name__
        masked = name == "index" and any(t is not None and t.dtype in (torch.bool, torch.uint8) for t in args[1])
        if name in _OPERATIONS or masked:
            self.reads.note("selection by a mask" if masked else name)
        return func(*args, **(kwargs or {}))


class Gradients:
    """An engine's observer: which parameters each phase gives a gradient."""

    def __init__(self, networks: Mapping[str, nn.Module]) -> None:
        self.networks = networks
        self.reached: dict[str, Tensor | None] = {}  # trained parameter -> its gradient, the last that was not zero
        self.not_finite: list[str] = []
        self.crossed: list[str] = []  # 'phase: parameter' of networks that the phase does not train

    @contextmanager
    def updating(self, phase: Phase) -> Iterator[None]:
        """Forget the gradients of networks that this phase does not train."""
        for _, parameter in self._others(phase):
            parameter.grad = None
        yield

    def gradients(self, phase: Phase, objective: Objective) -> None:
        """Look at all gradients."""
        self.crossed += [f"{phase.name}: {name}" for name, p in self._others(phase) if p.grad is not None]
        for name, parameter in self._of(phase.networks):
            gradient = parameter.grad
            if gradient is None:
                continue
            if not bool(gradient.isfinite().all()):
                self.not_finite.append(f"{phase.name}: {name}")
            elif self.reached.get(name) is None or not bool(self.reached[name].any()):  # type: ignore[union-attr]
                self.reached[name] = gradient.detach().clone()

    def idle(self) -> list[str]:
        """Return the trainable parameters that no phase gave a gradient other than zero.

        A single number may have one of exactly zero, as the last bias of a critic that sees differences of logits.
        """
        found = []
        for name, parameter in self._of(tuple(self.networks)):
            gradient = self.reached.get(name)
            moves = gradient is not None and (bool(gradient.any()) or gradient.numel() == 1)
            if parameter.requires_grad and not moves:
                found.append(name)
        return found

    def _of(self, networks: tuple[str, ...]) -> list[tuple[str, nn.Parameter]]:
        return [(f"{n}.{key}", p) for n in networks for key, p in self.networks[n].named_parameters()]

    def _others(self, phase: Phase) -> list[tuple[str, nn.Parameter]]:
        return self._of(tuple(name for name in self.networks if name not in phase.networks))


class _Storages(TorchDispatchMode):
    """Remembers, without holding it, the memory of every tensor that an operation returns."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[weakref.ref[torch.UntypedStorage]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returned = func(*args, **(kwargs or {}))
        leaves = (returned,) if isinstance(returned, Tensor) else tree_leaves(returned)
        self.seen += [weakref.ref(leaf.untyped_storage()) for leaf in leaves if isinstance(leaf, Tensor)]
        return returned


def bytes_kept(engine: Engine, steps: int) -> int:
    """Return how many bytes that are allocated in so many steps are in use afterwards."""
    with _Storages() as storages:
        for _ in range(steps):
            engine.step()
    engine.read_terms()
    gc.collect()
    alive = {id(storage): storage.nbytes() for storage in (seen() for seen in storages.seen) if storage is not None}
    return sum(alive.values())
