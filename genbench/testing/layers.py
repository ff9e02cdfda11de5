"""Finding and driving the layer that a network ends in, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

LINEAR = (nn.Linear, nn.modules.conv._ConvNd)


def responding_layer(networks: Iterable[nn.Module], run: Callable[[], Tensor]) -> nn.Module | None:
    """Return the dense or convolutional layer executed last that changes what `run` returns; None without one."""
    order: list[nn.Module] = []

    def remember(module: nn.Module, given: Any, returned: Any) -> None:
        order.append(module)

    layers = [module for network in networks for module in network.modules() if isinstance(module, LINEAR)]
    handles = [layer.register_forward_hook(remember) for layer in dict.fromkeys(layers)]
    before = run()
    for handle in handles:
        handle.remove()
    for layer in dict.fromkeys(reversed(order)):
        with scaled(layer, 2.0):
            if not torch.equal(run(), before):
                return layer
    return None


@contextmanager
def driven(layer: nn.Module, extreme: float = 1e4) -> Iterator[None]:
    """Centre what the layer returns and blow it up, so that it saturates whatever follows at both ends."""

    def drive(module: nn.Module, given: Any, returned: Tensor) -> Tensor:
        centred = returned - returned.mean()
        return extreme * centred / centred.std().clamp_min(1e-12)

    handle = layer.register_forward_hook(drive)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def scaled(layer: nn.Module, factor: float) -> Iterator[None]:
    """Multiply what the layer returns; its weights, normalised or not, stay as they are."""
    handle = layer.register_forward_hook(lambda module, given, returned: factor * returned)
    try:
        yield
    finally:
        handle.remove()
