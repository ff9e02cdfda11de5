"""Drawing latents from a model's prior."""

from __future__ import annotations

import torch
from torch import Tensor

import genbench


def draw_latents(setup: genbench.Setup, count: int, rng: torch.Generator) -> Tensor:
    """Return (count, latent_dim) latents from the prior of the model: N(0, 1) or U(-1, 1)."""
    shape = (count, setup.latent_dim)
    if setup.model.prior == "uniform":
        return torch.rand(shape, generator=rng, device=setup.device).mul_(2).sub_(1)
    return torch.randn(shape, generator=rng, device=setup.device)
