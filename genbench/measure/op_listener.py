"""Listening to every operation that torch carries out: one hook for all that is counted, so that it stays cheap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from torch.utils._python_dispatch import TorchDispatchMode

TrackerProcess: TypeAlias = Callable[[Any, Any, Any, Any], None]  # (operator, args, kwargs, what it returned)

_NOT_COUNTED = ("prim", "profiler")  # questions about tensors, and marks for a profiler: nothing is computed


class Listening(TorchDispatchMode):
    """Tells the listeners of each call of an operator beneath autograd, once it is done.

    These are the calls that a kernel answers, views included: what is made of other operators has been taken apart.
    Those of the backward pass are among them, also where it runs in a thread of its own; those of threads that were
    started otherwise are not.
    """

    def __init__(self, *listeners: TrackerProcess) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.listeners = listeners

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func.namespace not in _NOT_COUNTED:
            for listener in self.listeners:
                listener(func, args, kwargs, result)
        return result
