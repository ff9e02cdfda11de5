"""Optimisers as a capture wants them: what they count lies on the device, and learning rates that change are tensors.

Only while a step is captured: before and after, the optimisers are as they were made, so that eager steps between
replays are the eager ones, and whoever sets a learning rate sets a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class _Rate:
    """A learning rate as the captured step reads it."""

    optimizer: torch.optim.Optimizer
    group: int
    tensor: Tensor
    value: float

    @property
    def wanted(self) -> float:
        """The learning rate as the host has set it."""
        return float(self.optimizer.param_groups[self.group]["lr"])


class CapturableOptimizers:
    """The optimisers of an engine while a step is captured, and their learning rates thereafter.

    Args:
        optimizers: each once or more often.
        scheduled: whether learning rates change. One that stays is a number of the capture, in double precision as it
            is eagerly; a tensor is of single precision, as torch's fused kernels want it.
        device: of the parameters.
    """

    def __init__(self, optimizers: Iterable[torch.optim.Optimizer], scheduled: bool, device: torch.device) -> None:
        self.optimizers = list(dict.fromkeys(optimizers))
        self._rates = [
            _Rate(optimizer, number, torch.tensor(float(group["lr"]), device=device), float(group["lr"]))
            for optimizer in self.optimizers
            for number, group in enumerate(optimizer.param_groups)
            if scheduled
        ]
        for optimizer in self.optimizers:
            _count_on_device(optimizer)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Make the optimisers capturable inside."""
        before: list[tuple[dict[str, Any], dict[str, Any]]] = []
        for optimizer in self.optimizers:
            # Before the capture, steps are taken that are none: torch would warn that they run uncaptured.
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

    def refresh(self) -> None:
        """Tell the device the learning rates that have changed."""
        for rate in self._rates:
            wanted = rate.wanted
            if wanted != rate.value:
                rate.tensor.fill_(wanted)
                rate.value = wanted


def _count_on_device(optimizer: torch.optim.Optimizer) -> None:
    """Move to the device what an optimiser that was made otherwise counts on the host: its updates."""
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.device != parameter.device:
                state[key] = value.to(parameter.device)
