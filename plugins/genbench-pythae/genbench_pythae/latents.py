"""The distribution of latents for new images, for models without a prior.

An autoencoder without a prior is sampled from a density fitted to the latents of its training images. pythae's samplers
fit it after training; here running statistics are kept during training, so that a model can be sampled at any time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MEMORY = 100  # approximate number of recent batches in the statistics


class FittedGaussian(nn.Module):
    """A Gaussian with the mean and the covariance of the latents (Ghosh et al. 2020, section 3.1, with one component).

    Mean and covariance are buffers: saved, resumed and averaged with the networks.
    """

    batches: Tensor
    mean: Tensor
    second: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("batches", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("second", torch.eye(dim))  # E zzᵀ

    @torch.no_grad()
    def observe(self, latents: Tensor) -> None:
        """Add the latents (B, dim) of the n-th batch to the statistics, with weight 1/n until n reaches `MEMORY`."""
        latents = latents.float()
        self.batches += 1
        rate = 1 / self.batches.clamp(max=MEMORY)
        self.mean.lerp_(latents.mean(0), rate)
        self.second.lerp_((latents[:, :, None] * latents[:, None, :]).mean(0), rate)  # `@` would compute in bf16

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Return (count, dim) latents."""
        values, vectors = torch.linalg.eigh(self.second - self.mean.outer(self.mean))
        noise = torch.randn(count, len(self.mean), generator=rng, device=self.mean.device)
        return self.mean + noise * values.clamp_min(0).sqrt() @ vectors.T
