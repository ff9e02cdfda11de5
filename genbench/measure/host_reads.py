"""Host reads of tensors in a step: where the host would wait for a GPU, and the line of code responsible."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from genbench.measure.op_listener import OpListener
from genbench.measure.user_frame import Line, calling_line

# Causes of a copy to the host: tensor methods, by name, and operators underneath whose result the host waits for,
# because it is a number or its size depends on values.
_METHODS = {
    *("item", "tolist", "numpy", "cpu", "nonzero", "__array__", "__bool__", "__float__", "__int__", "__index__"),
    *("__repr__", "__str__", "__format__", "__contains__"),
}
_OPERATIONS = {
    *("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive"),
    *("equal", "is_nonzero"),
}
_METHOD_OF = {"_local_scalar_dense": "Tensor.item"}  # in a backward pass only the operator is seen, not the method
_MASKED = {"index", "index_put", "index_put_", "_index_put_impl_"}
_SELECTION = "selection by a mask"


class Read(NamedTuple):
    """One kind of host read by one line of source code."""

    what: str  # 'Tensor.item', an operator's name, or 'selection by a mask'
    line: Line | None  # None: not caused by Python code

    def __str__(self) -> str:
        kind, _, method = self.what.rpartition(".")
        shown = method.strip("_") if method.startswith("__") else f".{method}"
        return f"`{f'{shown}()' if kind else self.what}`" + (f" at {self.line}" if self.line else "")


class HostReads:
    """Counts each host read of a tensor, with the line responsible.

    Only tensors on a device of type `device` count. On the CPU these are all tensors, so the count is of reads that
    would wait if the cell ran on a GPU.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.counts: Counter[Read] = Counter()
        self.device = device
        self._depth = 0  # inside a method already counted, or one that reads only on a CPU

    @property
    def total(self) -> int:
        """The number of reads."""
        return self.counts.total()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Count the reads in this context."""
        with self.methods(), OpListener(self.operation):
            yield

    def methods(self) -> TorchFunctionMode:
        """Return the mode that observes tensor methods; the operators underneath must be passed to `operation`."""
        return _Methods(self)

    def operation(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Count an operator call unless its tensor method has been counted."""
        name = func._overloadpacket.__name__
        if name in _OPERATIONS:
            self._count(_METHOD_OF.get(name, name), args[0])
        elif name in _MASKED and _is_masked(args):
            self._count(_SELECTION, args[0])
        elif name == "_to_copy" and _waits_for_copy(args[0], result, kwargs.get("non_blocking")):
            self._count("copy to the host", args[0])
        elif name == "copy_" and _waits_for_copy(args[1], args[0], kwargs.get("non_blocking") or args[2:] == (True,)):
            self._count("copy to the host", args[1])

    def _count(self, what: str, tensor: object) -> None:
        """Count a read of this tensor."""
        if not self._depth and isinstance(tensor, Tensor) and tensor.device.type == self.device:
            self.counts[Read(what, calling_line())] += 1


class _Methods(TorchFunctionMode):
    def __init__(self, reads: HostReads) -> None:
        super().__init__()
        self.reads = reads

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        reads = name in _METHODS or (name == "to" and _names_host(args, kwargs))
        if reads and args:
            self.reads._count(f"Tensor.{name}", args[0])
        silent = reads or (name == "one_hot" and _has_num_classes(args, kwargs))
        self.reads._depth += silent
        try:
            return func(*args, **kwargs)
        finally:
            self.reads._depth -= silent


def _names_host(args: Any, kwargs: Any) -> bool:
    """Return whether `to` names the host; a device taken from another tensor does not count."""
    return any(isinstance(one, str) and one.startswith("cpu") for one in (kwargs.get("device"), *args[1:2]))


def _has_num_classes(args: Any, kwargs: Any) -> bool:
    """Return whether one_hot is given the number of classes; it then reads the labels only on a CPU."""
    return isinstance(kwargs.get("num_classes", args[-1]), int) and kwargs.get("num_classes", args[-1]) != -1


def _is_masked(args: Any) -> bool:
    """Return whether an index is a mask; writing a single value at a mask does not read the mask."""
    if len(args) > 2 and isinstance(args[2], Tensor) and args[2].numel() == 1:
        return False
    return any(t is not None and t.dtype in (torch.bool, torch.uint8) for t in args[1])


def _waits_for_copy(source: object, target: object, non_blocking: object) -> bool:
    """Return whether a copy goes from a device to the host and blocks it."""
    if not isinstance(source, Tensor) or not isinstance(target, Tensor) or non_blocking:
        return False
    return source.device.type != "cpu" and target.device.type == "cpu"
