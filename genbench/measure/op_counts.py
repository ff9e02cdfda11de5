"""Counts of what a step asks of torch: the same on every processor, with any number of threads, in every process.

They depend on the plugins, the recipe, the kind of device and the version of torch, which decides what an operator is
made of.
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


class Operators:
    """Counts operator calls, floating-point operations, and in which memory format convolutions compute."""

    def __init__(self) -> None:
        self.calls = 0
        self.flops = 0  # by the formulas of torch's own counter
        self.shuffles = 0  # calls of randperm
        self.convolutions = 0  # of two dimensions, forwards and backwards
        self.channels_last = 0  # of these, with everything in channels_last
        self.conversions = 0  # copies from one memory format into another

    def operation(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Count an operation."""
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
    """Whether images in one dense memory format become images in the other; a format that is both is neither."""
    if source.dim() != 4 or target.dim() != 4 or source.shape != target.shape:
        return False
    formats = (torch.contiguous_format, torch.channels_last)
    one, other = (tuple(t.is_contiguous(memory_format=f) for f in formats) for t in (source, target))
    return one != other and {one, other} == {(True, False), (False, True)}


class LiveBytes:
    """Follows, without holding it, the memory of tensors that operations return: how much is in use, and was at most.

    Memory that was there before is not among it, nor is what an operation takes for itself and gives back.
    """

    def __init__(self) -> None:
        self.now = self.peak = 0
        self._alive: dict[int, tuple[weakref.ref[torch.UntypedStorage], int]] = {}  # by the storage's address

    def operation(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Take up what an operation returned, unless it is a view or was changed in place."""
        if not _may_allocate(func):
            return
        for leaf in (result,) if isinstance(result, Tensor) else tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._take_up(leaf, args)
        self.peak = max(self.peak, self.now)

    def _take_up(self, tensor: Tensor, args: Any) -> None:
        try:
            storage = tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):  # of sparse tensors, or of wrappers
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
    """Whether an operator returns a tensor that its schema does not declare to be one of its arguments, or a view."""
    return any(returned.alias_info is None for returned in func._schema.returns)


def _same_storage(tensor: Tensor, address: int) -> bool:
    try:
        return bool(tensor.untyped_storage()._cdata == address)
    except (NotImplementedError, RuntimeError):
        return False
