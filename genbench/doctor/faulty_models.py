"""A plugin of models that fail while they train, and of the same model without a fault; only the doctor loads it."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

import genbench
from genbench.system.processes import kill


def _nothing(images: Tensor) -> None:
    """Do nothing."""


def _kill(images: Tensor) -> None:
    """Kill this process, as the system's out-of-memory killer does."""
    kill(os.getpid())


def _take_all_memory(images: Tensor) -> None:
    """Ask for more memory than there is."""
    torch.empty(2**48, dtype=torch.uint8, device=images.device)


def _assert_falsehood(images: Tensor) -> None:
    """Let an assertion fail on the device; a GPU is unusable for this process afterwards."""
    torch._assert_async(images.new_zeros((), dtype=torch.bool))


FAULTS: dict[str, tuple[Callable[[Tensor], None], str]] = {  # what happens, and the status that the cell must get
    "killed": (_kill, "failed"),
    "good-after-killed": (_nothing, "ok"),
    "too-large": (_take_all_memory, "oom"),
    "good-after-too-large": (_nothing, "ok"),
    "false-assertion": (_assert_falsehood, "failed"),
    "good-after-false-assertion": (_nothing, "ok"),
}


class _Encoder(nn.Module):
    def __init__(self, values: int, latent_dim: int, fault: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.body = nn.Linear(values, 2 * latent_dim)
        self.fault = fault

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return mean and logarithm of the variance, each (N, latent_dim)."""
        if self.training:
            self.fault(images)
        return self.body(images.flatten(1)).chunk(2, 1)  # type: ignore[no-any-return]


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: Any, *, fault: Callable[[Tensor], None]
) -> Mapping[str, nn.Module]:
    """Build a tiny VAE whose encoder has the fault."""
    values = math.prod(image_shape)
    decoder = nn.Sequential(nn.Linear(latent_dim, values), nn.Unflatten(1, image_shape))
    return {"encoder": _Encoder(values, latent_dim, fault), "decoder": decoder}


@genbench.hookimpl
def genbench_models() -> Iterator[genbench.ModelSpec]:
    """Yield a model for each fault, and after each the same model without one."""
    for name, (fault, _) in FAULTS.items():
        yield genbench.ModelSpec(
            name=f"doctor-{name}",
            family="variational",
            build=functools.partial(build, fault=fault),
            default_loss="elbo",
            latent_dim=2,
            value_range=(0.0, 1.0),
            output="logits",
        )
