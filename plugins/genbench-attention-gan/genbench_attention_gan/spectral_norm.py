"""Spectral normalisation (Miyato et al. 2018, arXiv:1802.05957): weights are divided by their largest singular value.

It stays in fp32 under autocast: a singular value in bf16 would change the scale of the whole layer.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

_FIRST_ITERATIONS = 15  # of the power method, before the first step

Network = TypeVar("Network", bound=nn.Module)


class SpectralNorm(nn.Module):
    """Maps a weight W, as a matrix of one row per output, to W / σ; one power iteration per pass in training.

    The left singular vector `u` is kept between passes (their algorithm 1).
    """

    u: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("u", normalize(torch.randn(len(weight)), dim=0))
        for _ in range(_FIRST_ITERATIONS):
            self(weight)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight with a spectral norm of 1, up to the error of the power method."""
        with torch.autocast(weight.device.type, enabled=False):
            rows = weight.flatten(1)
            with torch.no_grad():
                v = normalize(rows.T @ self.u, dim=0)
                u = normalize(rows @ v, dim=0)
                if self.training:
                    self.u.copy_(u)
            return weight / (u @ (rows @ v))


def normalise(network: Network, *layers: type[nn.Module]) -> Network:
    """Normalise the weights of these kinds of layers, which must be initialised, and return the network."""
    for module in list(network.modules()):
        if isinstance(module, layers):
            weight = module.weight.detach()  # type: ignore[operator, union-attr]
            parametrize.register_parametrization(module, "weight", SpectralNorm(weight))
    return network
