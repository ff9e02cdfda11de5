"""Making optimisers capturable: step counts are kept on the device, and learning rates that change are tensors.

This applies only while a step is captured. Before and after, the optimisers are as they were created, so that eager
steps between replays are unchanged, and learning rates are set as numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class _LearningRate:
    """A learning rate as the captured step reads it."""

    optimizer: torch.optim.Optimizer
    group: int
    tensor: Tensor
    value: float

    @property
    def current(self) -> float:
        """The learning rate that the host has set."""
        return float(self.optimizer.param_groups[self.group]["lr"])


class CapturableOptimizers:
    """The optimisers of an engine while a step is captured, and their learning rates in later replays.

    Args:
        optimizers: may contain duplicates.
        scheduled: whether learning rates change. A constant rate is captured as a number, in double precision as in
            eager steps; a tensor has single precision, as torch's fused kernels require.
        device: device of the parameters.
    """

    def __init__(self, optimizers: Iterable[torch.optim.Optimizer], scheduled: bool, device: torch.device) -> None:
        self.optimizers = list(dict.fromkeys(optimizers))
        self._rates = [
            _LearningRate(optimizer, number, torch.tensor(float(group["lr"]), device=device), float(group["lr"]))
            for optimizer in self.optimizers
            for number, group in enumerate(optimizer.param_groups)
            if scheduled
        ]
        for optimizer in self.optimizers:
            _move_counts_to_device(optimizer)

    @contextmanager
    def capturable(self) -> Iterator[None]:
        """Make the optimisers capturable inside."""
        before: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for optimizer in self.optimizers:
            # Warm-up steps are not captured, which torch would warn about.
            optimizer._warned_capturable_if_run_uncaptured = True
            for group in optimizer.param_groups:
                before.append((group, {key: group[key] for key in ("capturable", "lr") if key in group}))
                if "capturable" in group:
                    group["capturable"] = True
        for rate in self._rates:
            rate.optimizer.param_groups[rate.group]["lr"] = rate.tensor
        try:
            yield
        finally:
            for group, settings in before:
                group.update(settings)

    def update_learning_rates(self) -> None:
        """Copy learning rates that have changed to the device."""
        for rate in self._rates:
            current = rate.current
            if current != rate.value:
                rate.tensor.fill_(current)
                rate.value = current


def _move_counts_to_device(optimizer: torch.optim.Optimizer) -> None:
    """Move the update counts of an optimiser that was not created as capturable from the host to the device."""
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.device != parameter.device:
                state[key] = value.to(parameter.device)
