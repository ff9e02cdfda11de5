"""What pythae's forward passes are surrounded by: genbench's random numbers, and a loss that bf16 can bear.

pythae draws noise from torch's global generator, with functions that name no other, and takes the binary cross-entropy
of probabilities, which torch refuses under autocast. Inside of the context noise comes from the generator that a phase
is given, on its device and in fp32, so that it is that of the cell's seed whatever else draws and whatever the
precision; and that loss is taken in fp32, as a loss should be. Nothing outside of the context changes.
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

    # torch.compile loses the attributes of what pythae's modules return; so a forward pass is left as it is
    @torch.compiler.disable
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
            noise = torch.randn(like.shape, generator=self.rng, device=like.device)  # in bf16 it would be other noise
            return noise.to(like.dtype)
        if func is torch.randperm:
            return torch.randperm(*args, generator=self.rng, device=self.rng.device)
        if func is F.binary_cross_entropy:
            probabilities, targets = args
            with torch.autocast(probabilities.device.type, enabled=False):
                return func(probabilities.float(), targets.float(), **(kwargs or {}))
        return func(*args, **(kwargs or {}))
