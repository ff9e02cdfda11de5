"""Counting how often networks are evaluated for each image that is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn


class EvaluationCount:
    """Forward passes of networks, each weighted by the size of its batch."""

    def __init__(self) -> None:
        self.inputs = 0

    def per_image(self, images: int) -> float:
        """Return the passes for each of as many images: a pass over all of them counts as one."""
        return self.inputs / images


@contextmanager
def count_evaluations(networks: Iterable[nn.Module]) -> Iterator[EvaluationCount]:
    """Count the inputs of each network; a pass without a tensor as its first argument counts as one input."""
    found = EvaluationCount()

    def passed(module: nn.Module, arguments: tuple[object, ...]) -> None:
        first = next(iter(arguments), None)
        found.inputs += len(first) if isinstance(first, Tensor) and first.ndim else 1

    hooks = [network.register_forward_pre_hook(passed) for network in networks]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
