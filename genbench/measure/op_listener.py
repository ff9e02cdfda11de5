"""Observing every operator that torch executes: a single hook for all counters, to keep the overhead low."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from torch.utils._python_dispatch import TorchDispatchMode

Listener: TypeAlias = Callable[[Any, Any, Any, Any], None]  # (operator, args, kwargs, result)

_NOT_COUNTED = ("prim", "profiler")  # tensor queries and profiler marks, which compute nothing


class OpListener(TorchDispatchMode):
    """Calls the listeners after each operator call below autograd.

    These are the calls that reach a kernel, including views; composite operators have been decomposed. Calls of the
    backward pass are included, even if it runs in its own thread; calls in other threads are not.
    """

    def __init__(self, *listeners: Listener) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.listeners = listeners

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func.namespace not in _NOT_COUNTED:
            for listener in self.listeners:
                listener(func, args, kwargs, result)
        return result
