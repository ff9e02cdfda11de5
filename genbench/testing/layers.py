"""Finding and manipulating the last dense or convolutional layer of a network, whatever the network's structure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

LINEAR = (nn.Linear, nn.modules.conv._ConvNd)


def find_last_layer(networks: Iterable[nn.Module], run: Callable[[], Tensor]) -> nn.Module | None:
    """Return the dense or convolutional layer that runs last and affects the result of `run`; None if there is none."""
    order: list[nn.Module] = []

    def record(module: nn.Module, inputs: Any, output: Any) -> None:
        order.append(module)

    layers = [module for network in networks for module in network.modules() if isinstance(module, LINEAR)]
    handles = [layer.register_forward_hook(record) for layer in dict.fromkeys(layers)]
    before = run()
    for handle in handles:
        handle.remove()
    for layer in dict.fromkeys(reversed(order)):
        with scaled_output(layer, 2.0):
            if not torch.equal(run(), before):
                return layer
    return None


@contextmanager
def saturated_output(layer: nn.Module, extreme: float = 1e4) -> Iterator[None]:
    """Centre and amplify the layer's output so that a following activation saturates at both ends."""

    def amplify(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        centred = output - output.mean()
        return extreme * centred / centred.std().clamp_min(1e-12)

    handle = layer.register_forward_hook(amplify)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def scaled_output(layer: nn.Module, factor: float) -> Iterator[None]:
    """Multiply the layer's output by a factor; its weights, normalised or not, stay as they are."""
    handle = layer.register_forward_hook(lambda module, inputs, output: factor * output)
    try:
        yield
    finally:
        handle.remove()
