"""A simulated capture without a GPU: every operation below autograd is recorded, and repeated by a replay.

As on a GPU, Python runs only while a step is captured, memory keeps its address, generators advance in each replay, and
reading a tensor on the host is an error. Unlike on a GPU, temporary memory is never shared, operations of the host (a
copy of a Python number to a tensor) are not distinguished from those of the device, and optimisers that are
capturable only on a GPU need `capturable_on_cpu`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
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

    def warm_up(self, function: Callable[[], None]) -> None:
        self.warm_ups += 1
        function()

    def record(self, function: Callable[[], None], generators: Sequence[torch.Generator]) -> Callable[[], None]:
        calls: list[tuple[Any, Any, Any, list[Any]]] = []
        reads = HostReads()

        def listen(func: Any, args: Any, kwargs: Any, result: Any) -> None:
            reads.operation(func, args, kwargs, result)
            if reads.total:
                raise CaptureError("operation not permitted when stream is capturing")
            generator = kwargs.get("generator")
            if generator is not None and not any(generator._cdata == known._cdata for known in generators):
                raise CaptureError("Attempt to increase offset for a CUDA generator not in capture mode.")
            if self.memory is not None and len(calls) >= self.memory:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            calls.append((func, args, kwargs, tree_leaves(result)))

        with reads.methods(), OpListener(listen):
            function()
        self.calls.append(len(calls))

        @torch.no_grad()
        def replay() -> None:
            for func, args, kwargs, recorded in calls:
                for old, new in zip(recorded, tree_leaves(func(*args, **kwargs)), strict=True):
                    if isinstance(old, Tensor) and not _same_memory(old, new):
                        old.detach().copy_(new)

        return replay


def _same_memory(one: Tensor, other: Tensor) -> bool:
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()


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
