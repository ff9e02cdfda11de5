"""A fake GPU: tensors with a shape, a dtype and the device 'cuda', but without memory or values.

Mixing such tensors with CPU tensors fails as on a real GPU, so code that leaves a tensor on the CPU is found on any
machine. Nothing is computed; gradients are replaced by empty tensors of the same shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

FAKE_CUDA = torch.device("cuda", 0)


class FakeGenerator(torch.Generator):
    """A generator that reports the fake GPU as its device."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The fake GPU."""
        return FAKE_CUDA


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Make every tensor that is created inside a fake one; `autograd.grad` returns empty gradients."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode, mock.patch.object(torch.autograd, "grad", _empty_gradients):
        yield


def move_to_fake_gpu(networks: Mapping[str, nn.Module]) -> None:
    """Move the networks' parameters and buffers to the fake GPU, as `Module.to` would; call it inside `fake_gpu`."""
    moved: dict[int, Tensor] = {}
    for network in networks.values():
        for module in network.modules():
            tables: list[dict[str, Any]] = [module._parameters, module._buffers]
            for table in tables:
                for name, tensor in table.items():
                    if tensor is not None:
                        table[name] = moved.setdefault(id(tensor), _fake_copy(tensor))


def _fake_copy(tensor: Tensor) -> Any:
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, device=FAKE_CUDA)
    return nn.Parameter(copy, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy


def _empty_gradients(outputs: Any, inputs: Any, *_: Any, **__: Any) -> tuple[Tensor, ...]:
    tensors = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    return tuple(torch.empty_like(tensor).requires_grad_() for tensor in tensors)
