"""A second device, with values: its tensors are held by the CPU, but torch and genbench see the device 'meta'.

As on a GPU, an operation of its tensors with those of the CPU is an error, except for numbers and indices. Nothing here
is CUDA: code that works on it assumes nothing about the type of device. It needs `other_device()` around everything.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_map_only

from genbench.seeds import derive_seed

OTHER = torch.device("meta")
CPU = torch.device("cpu")
_MIXES = ("copy_", "_to_copy", "index", "index_put_", "_index_put_impl_", "set_")  # may have tensors of the CPU too


class OtherTensor(Tensor):
    """A tensor of the second device."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> OtherTensor:
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        made: OtherTensor = Tensor._make_wrapper_subclass(cls, held.size(), dtype=held.dtype, device=OTHER, **layout)
        return made

    def __init__(self, held: Tensor) -> None:
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})

    def __repr__(self, *_: Any, **__: Any) -> str:
        return f"other({self.held})"


class OtherGenerator(torch.Generator):
    """A generator of the second device, with the numbers of the CPU's."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The second device."""
        return OTHER


class _Everywhere(TorchDispatchMode):
    """Creates tensors of the second device where they are asked for."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    flat, _ = tree_flatten((args, kwargs))
    tensors = [value for value in flat if isinstance(value, Tensor)]
    here = any(isinstance(tensor, OtherTensor) for tensor in tensors)
    name = func.overloadpacket.__name__
    if here and name not in _MIXES:
        strangers = [tensor for tensor in tensors if not isinstance(tensor, OtherTensor) and tensor.ndim]
        if strangers:
            raise RuntimeError(f"Expected all tensors to be on the same device, but {name} has some of the CPU")
    wanted = kwargs.get("device")
    inside = {**kwargs, **({"device": CPU} if wanted is not None else {})}
    held_args, held_kwargs = tree_map_only(OtherTensor, lambda tensor: tensor.held, (args, inside))
    found = func(*held_args, **held_kwargs)
    goes = torch.device(wanted).type == OTHER.type if wanted is not None else here
    if name == "_local_scalar_dense" or not goes:
        return found
    known = {id(tensor.held): tensor for tensor in tensors if isinstance(tensor, OtherTensor)}
    return tree_map(lambda value: known[id(value)] if id(value) in known else _wrap(value), found)


def _wrap(value: Any) -> Any:
    return OtherTensor(value) if isinstance(value, Tensor) else value


@contextmanager
def other_device() -> Iterator[torch.device]:
    """Make the second device available, as 'meta'; yield it."""
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith("genbench.") and hasattr(module, "seeded_generator"):
                stack.enter_context(mock.patch.object(module, "seeded_generator", _seeded_generator))
        stack.enter_context(mock.patch("torch.inference_mode", torch.no_grad))  # which such tensors do not support
        stack.enter_context(mock.patch("torch.autocast", lambda *_, **__: nullcontext()))  # nor does the device
        stack.enter_context(mock.patch("torch.accelerator.synchronize", lambda device=None: None))
        stack.enter_context(_Everywhere())
        yield OTHER


def _seeded_generator(seed: int, purpose: str, device: torch.device) -> torch.Generator:
    generator = OtherGenerator() if device.type == OTHER.type else torch.Generator()
    generator.manual_seed(derive_seed(seed, purpose))
    return generator
