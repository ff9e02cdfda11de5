"""pythae's random numbers from genbench's generator.

pythae draws noise from torch's global generator, with functions that name no other. Inside of `drawing_from` those
functions draw from the generator that a phase is given, on its device, so that a model's noise is that of its cell's
seed, whatever else draws. Nothing outside of the context changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode


class drawing_from(TorchFunctionMode):
    """A context in which `torch.randn_like` and `torch.randperm` draw from one generator."""

    def __init__(self, rng: torch.Generator) -> None:
        super().__init__()
        self.rng = rng

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func`, or what stands in for it."""
        if func is torch.randn_like:
            like: Tensor = args[0]
            return torch.randn(like.shape, generator=self.rng, dtype=like.dtype, device=like.device)
        if func is torch.randperm:
            return torch.randperm(*args, generator=self.rng, device=self.rng.device)
        return func(*args, **(kwargs or {}))
