"""Counts of a step's torch operators and memory: independent of the processor, the number of threads and the process.

They depend on the plugins, the recipe, the kind of device and the version of torch, which determines what an operator
consists of.
"""

from __future__ import annotations

import functools
import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

_CONVOLUTIONS = {"convolution": (0, 1), "convolution_backward": (0, 1, 2)}  # arguments that have a memory format
_COPIES = ("clone", "_to_copy", "copy_")


class OpCounter:
    """Counts operator calls, floating-point operations, and the memory formats of convolutions."""

    def __init__(self) -> None:
        self.calls = 0
        self.flops = 0  # by the formulas of torch's own counter
        self.shuffles = 0  # calls of randperm
        self.convolutions = 0  # two-dimensional ones, forward and backward
        self.channels_last = 0  # those with all tensors in channels_last
        self.conversions = 0  # copies from one memory format to another

    def operation(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Count an operator call."""
        packet = func._overloadpacket
        name = packet.__name__
        self.calls += 1
        formula = flop_registry.get(packet)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=result)
        if name in _CONVOLUTIONS:
            own = [args[index] for index in _CONVOLUTIONS[name]]
            if own[0].dim() == 4:
                self.convolutions += 1
                self.channels_last += all(t.is_contiguous(memory_format=torch.channels_last) for t in own)
        elif name in _COPIES:
            source, target = (args[1], args[0]) if name == "copy_" else (args[0], result)
            self.conversions += _changes_layout(source, target)
        self.shuffles += name == "randperm"


def _changes_layout(source: Tensor, target: Tensor) -> bool:
    """Return whether images change from one dense memory format to the other; tensors in both count as neither."""
    if source.dim() != 4 or target.dim() != 4 or source.shape != target.shape:
        return False
    formats = (torch.contiguous_format, torch.channels_last)
    one, other = (tuple(t.is_contiguous(memory_format=f) for f in formats) for t in (source, target))
    return one != other and {one, other} == {(True, False), (False, True)}


class MemoryCounter:
    """Tracks the current and the peak memory of tensors that operators return, without keeping them alive.

    Memory allocated earlier is not included, nor is an operator's temporary memory.
    """

    def __init__(self) -> None:
        self.now = self.peak = 0
        self._alive: dict[int, tuple[weakref.ref[torch.UntypedStorage], int]] = {}  # by the storage's address

    def operation(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Track the tensors that an operator returned, unless they are views or were modified in place."""
        if not _may_allocate(func):
            return
        for leaf in (result,) if isinstance(result, Tensor) else tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._track(leaf, args)
        self.peak = max(self.peak, self.now)

    def _track(self, tensor: Tensor, args: Any) -> None:
        try:
            storage = tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):  # sparse tensors, or wrappers
            return
        address = storage._cdata
        if address in self._alive or any(isinstance(a, Tensor) and _same_storage(a, address) for a in args):
            return
        size = storage.nbytes()

        def freed(reference: object) -> None:
            self._alive.pop(address, None)
            self.now -= size

        self._alive[address] = weakref.ref(storage, freed), size
        self.now += size


@functools.cache
def _may_allocate(func: Any) -> bool:
    """Return whether an operator's schema declares a result that is neither one of its arguments nor a view."""
    return any(returned.alias_info is None for returned in func._schema.returns)


def _same_storage(tensor: Tensor, address: int) -> bool:
    try:
        return bool(tensor.untyped_storage()._cdata == address)
    except (NotImplementedError, RuntimeError):
        return False
