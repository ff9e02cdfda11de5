"""Where a metric is computed: on the device of the cell, or on the CPU if the device has too little memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from genbench.features.extract import reproducible
from genbench.measure.capabilities import is_accelerator

T = TypeVar("T")


def computed_on(device: torch.device, compute: Callable[..., T], *tensors: Tensor) -> T:
    """Return ``compute(*tensors)`` with the tensors on the device.

    Products are in full precision, and algorithms deterministic. What runs out of the device's memory, much of which
    the trained model may hold, is computed where the tensors are.
    """
    if is_accelerator(device):
        try:
            with reproducible():
                return compute(*(tensor.to(device) for tensor in tensors))
        except torch.OutOfMemoryError:
            pass  # below, after the error has released the memory that its frames hold
    return compute(*tensors)
