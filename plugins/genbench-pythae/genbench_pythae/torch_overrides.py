"""The context in which pythae's forward passes run: genbench's random numbers, and binary cross-entropy in fp32.

pythae draws noise from torch's global generator, through functions that accept no other, and computes the binary
cross-entropy of probabilities, which torch rejects under autocast. Inside the context, noise comes from the generator
that a phase receives, on its device and in fp32, so it depends only on the cell's seed, whatever else draws and
whatever the precision; and that loss is computed in fp32. Nothing outside the context changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class TorchOverrides(TorchFunctionMode):
    """A context in which `torch.randn_like` and `torch.randperm` draw from one generator."""

    def __init__(self, rng: torch.Generator) -> None:
        super().__init__()
        self.rng = rng

    # torch.compile loses attributes of the objects that pythae's modules return, so forward passes stay uncompiled
    @torch.compiler.disable
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call `func` or its replacement."""
        if func is torch.randn_like:
            like: Tensor = args[0]
            noise = torch.randn(like.shape, generator=self.rng, device=like.device)  # bf16 would give different noise
            return noise.to(like.dtype)
        if func is torch.randperm:
            return torch.randperm(*args, generator=self.rng, device=self.rng.device)
        if func is F.binary_cross_entropy:
            probabilities, targets = args
            with torch.autocast(probabilities.device.type, enabled=False):
                return func(probabilities.float(), targets.float(), **(kwargs or {}))
        return func(*args, **(kwargs or {}))
