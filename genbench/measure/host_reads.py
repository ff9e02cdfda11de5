"""What a step reads of tensors on the host: where a GPU would have to be waited for, and which line asks for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from genbench.measure.op_listener import Listening
from genbench.measure.user_frame import Line, calling_line

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
_CALLED = {"_local_scalar_dense": "Tensor.item"}  # by what leads to it: in a backward pass methods are not seen
_MASKED = {"index", "index_put", "index_put_", "_index_put_impl_"}
_SELECTION = "selection by a mask"


class Read(NamedTuple):
    """One way in which a line of source reads a tensor on the host."""

    what: str  # 'Tensor.item', an operator's name, or 'selection by a mask'
    line: Line | None  # None: no line of Python asks

    def __str__(self) -> str:
        kind, _, method = self.what.rpartition(".")
        said = method.strip("_") if method.startswith("__") else f".{method}"
        return f"`{f'{said}()' if kind else self.what}`" + (f" at {self.line}" if self.line else "")


class HostReads:
    """Counts each read of a tensor on the host, with the line that asks.

    Of a device of type `device` only its own tensors count. On a CPU all do: what is counted is what would wait, were
    the cell on a GPU.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.counts: Counter[Read] = Counter()
        self.device = device
        self._depth = 0  # inside of a method that has been counted, or of what reads on a CPU only

    @property
    def total(self) -> int:
        """How many reads there were."""
        return self.counts.total()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch what happens inside."""
        with self.methods(), Listening(self.operation):
            yield

    def methods(self) -> TorchFunctionMode:
        """Return what watches methods of tensors; operations beneath them are to be told by `operation`."""
        return _Methods(self)

    def operation(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Take down an operation that no method has announced."""
        name = func._overloadpacket.__name__
        if name in _OPERATIONS:
            self.note(_CALLED.get(name, name), args[0])
        elif name in _MASKED and _is_masked(args):
            self.note(_SELECTION, args[0])
        elif name == "_to_copy" and _waits_for_copy(args[0], result, kwargs.get("non_blocking")):
            self.note("copy to the host", args[0])
        elif name == "copy_" and _waits_for_copy(args[1], args[0], kwargs.get("non_blocking") or args[2:] == (True,)):
            self.note("copy to the host", args[1])

    def note(self, what: str, tensor: object) -> None:
        """Take down a read of this tensor."""
        if not self._depth and isinstance(tensor, Tensor) and tensor.device.type == self.device:
            self.counts[Read(what, calling_line())] += 1


class _Methods(TorchFunctionMode):
    def __init__(self, reads: HostReads) -> None:
        super().__init__()
        self.reads = reads

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        reads = name in _METHODS or (name == "to" and _asks_for_host(args, kwargs))
        if reads and args:
            self.reads.note(f"Tensor.{name}", args[0])
        silent = reads or (name == "one_hot" and _says_how_many(args, kwargs))
        self.reads._depth += silent
        try:
            return func(*args, **kwargs)
        finally:
            self.reads._depth -= silent


def _asks_for_host(args: Any, kwargs: Any) -> bool:
    """Whether `to` is asked for the host by name; the device of another tensor may be any, and is none to wait for."""
    return any(isinstance(one, str) and one.startswith("cpu") for one in (kwargs.get("device"), *args[1:2]))


def _says_how_many(args: Any, kwargs: Any) -> bool:
    """Whether one_hot is told the number of classes: it then looks at the labels on a CPU only."""
    return isinstance(kwargs.get("num_classes", args[-1]), int) and kwargs.get("num_classes", args[-1]) != -1


def _is_masked(args: Any) -> bool:
    """Whether some index is a mask; to write one single value where it holds takes no look at the mask."""
    if len(args) > 2 and isinstance(args[2], Tensor) and args[2].numel() == 1:
        return False
    return any(t is not None and t.dtype in (torch.bool, torch.uint8) for t in args[1])


def _waits_for_copy(source: object, target: object, non_blocking: object) -> bool:
    """Whether a copy goes from a device to the host, which waits for it."""
    if not isinstance(source, Tensor) or not isinstance(target, Tensor) or non_blocking:
        return False
    return source.device.type != "cpu" and target.device.type == "cpu"
