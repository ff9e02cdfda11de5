"""A simulated capture without a GPU: every operation below autograd is recorded, and repeated by a replay.

As on a GPU, Python runs only while a step is captured, memory keeps its address, generators advance in each replay, and
reading a tensor on the host is an error, as is making one from values of the host. After each replay, memory that
another may use is filled with NaN: temporary tensors, and with a shared pool all that later captures have allocated.
Unlike on a GPU, optimisers that are capturable only there need `capturable_on_cpu`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from genbench.measure.host_reads import HostReads
from genbench.measure.op_listener import OpListener


class CaptureError(RuntimeError):
    """The error that torch would raise during a capture."""


@dataclass
class SimulatedRecorder:
    """Records operations; `calls` counts the operations of each record."""

    calls: list[int] = field(default_factory=list)
    warm_ups: int = 0
    memory: int | None = None  # number of operations after which memory runs out
    kept: Callable[[], Iterable[Tensor]] | None = None  # what is still referenced; None: no memory is reused
    share: bool = False  # all captures use one pool
    allocated: list[list[Tensor]] = field(default_factory=list)  # of each record: a floating-point tensor per memory

    def warm_up(self, function: Callable[[], None]) -> None:
        self.warm_ups += 1
        function()

    def record(self, function: Callable[[], None], generators: Sequence[torch.Generator]) -> Callable[[], None]:
        calls: list[tuple[Any, Any, Any, list[Any]]] = []
        reads = HostReads()
        before: dict[int, Tensor] = {}  # memory from before the capture; both hold it, so that it is not used again
        inside: dict[int, Tensor] = {}

        def listen(func: Any, args: Any, kwargs: Any, result: Any) -> None:
            reads.operation(func, args, kwargs, result)
            if reads.total:
                raise CaptureError("operation not permitted when stream is capturing")
            generator = kwargs.get("generator")
            if generator is not None and not any(generator._cdata == known._cdata for known in generators):
                raise CaptureError("Attempt to increase offset for a CUDA generator not in capture mode.")
            if self.memory is not None and len(calls) >= self.memory:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            if func is torch.ops.aten.lift_fresh.default and not _in_an_optimizer():
                raise CaptureError("Cannot copy between CPU and CUDA tensors during CUDA graph capture")
            leaves = tree_leaves(result)
            for tensor in filter(_is_tensor, tree_leaves((args, kwargs))):
                if _memory(tensor) not in inside:
                    before[_memory(tensor)] = tensor
            for tensor in filter(_is_tensor, leaves):
                if _memory(tensor) not in before:
                    inside[_memory(tensor)] = tensor
            calls.append((func, args, kwargs, leaves))

        with reads.methods(), OpListener(listen):
            function()
        self.calls.append(len(calls))
        number = len(self.allocated)
        self.allocated.append([tensor for tensor in inside.values() if tensor.is_floating_point()])

        @torch.no_grad()
        def replay() -> None:
            for func, args, kwargs, recorded in calls:
                for old, new in zip(recorded, tree_leaves(func(*args, **kwargs)), strict=True):
                    if isinstance(old, Tensor) and _memory(old) != _memory(new):
                        old.detach().copy_(new)
            self._reuse_memory(number)

        return replay

    def _reuse_memory(self, number: int) -> None:
        """Overwrite what may be overwritten after a replay of the record with this number."""
        if self.kept is None:
            return
        kept = {_memory(tensor) for tensor in self.kept()}
        temporary = [tensor for tensor in self.allocated[number] if _memory(tensor) not in kept]
        later = [tensor for record in self.allocated[number + 1 :] for tensor in record] if self.share else []
        for tensor in (*temporary, *later):
            whole = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
            whole.fill_(torch.nan)


def _is_tensor(value: object) -> bool:
    return isinstance(value, Tensor)


def _in_an_optimizer() -> bool:
    """Whether one of torch's optimisers is at work: those make such tensors of step numbers on a CPU, not on a GPU."""
    frame: FrameType | None = sys._getframe()
    folder = str(Path(torch.optim.__file__).parent)
    while frame is not None and not frame.f_code.co_filename.startswith(folder):
        frame = frame.f_back
    return frame is not None


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


@pytest.fixture(autouse=True)
def capturable_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let RMSprop be capturable on a CPU, where its arithmetic is the same."""
    module = sys.modules[torch.optim.RMSprop.__module__]  # `torch.optim.rmsprop` is not the module
    monkeypatch.setattr(module, "_get_capturable_supported_devices", lambda *_, **__: ["cpu"])


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Use one torch thread, so that sums are reproducible."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
