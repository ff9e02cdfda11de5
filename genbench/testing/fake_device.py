"""A GPU that is not there: tensors that have a shape, a type and the device 'cuda', but no memory and no values.

Operations between such tensors and tensors on the CPU fail as they would on a GPU, so code that leaves a tensor behind
on the CPU is found on any machine. Nothing is computed; gradients are stood in for by tensors of their shape.
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
    """A generator that says it lives on the fake GPU."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """The fake GPU."""
        return FAKE_CUDA


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Make every tensor that is created inside a fake one; `autograd.grad` returns stand-ins."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode, mock.patch.object(torch.autograd, "grad", _stand_ins):
        yield


def move(networks: Mapping[str, nn.Module]) -> None:
    """Put the networks' parameters and buffers on the fake GPU, as `Module.to` would; call it inside `fake_gpu`."""
    moved: dict[int, Tensor] = {}
    for network in networks.values():
        for module in network.modules():
            tables: list[dict[str, Any]] = [module._parameters, module._buffers]
            for held in tables:
                for name, tensor in held.items():
                    if tensor is not None:
                        held[name] = moved.setdefault(id(tensor), _twin(tensor))


def _twin(tensor: Tensor) -> Any:
    twin = torch.empty(tensor.shape, dtype=tensor.dtype, device=FAKE_CUDA)
    return nn.Parameter(twin, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else twin


def _stand_ins(outputs: Any, inputs: Any, *_: Any, **__: Any) -> tuple[Tensor, ...]:
    several = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    return tuple(torch.empty_like(tensor).requires_grad_() for tensor in several)
