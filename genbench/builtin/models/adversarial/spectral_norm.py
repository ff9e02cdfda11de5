"""Spectral normalisation (Miyato et al. 2018): every weight matrix is divided by its largest singular value.

Unlike torch's, this implementation stays in fp32 under autocast, which would otherwise estimate the singular value,
and thus the scale of the whole layer, in bf16.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

_LAYERS = (nn.Conv2d, nn.Linear, nn.Embedding)
_FIRST_ITERATIONS = 15  # so that the estimate is accurate before the first step

Network = TypeVar("Network", bound=nn.Module)


class SpectralNorm(nn.Module):
    """Maps a weight W (n, …), as a matrix of n rows, to W / σ; one power iteration per forward pass in training.

    The left singular vector `u` is a buffer, part of the network's state (their algorithm 1).
    """

    u: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("u", normalize(torch.randn_like(weight.flatten(1)[:, 0]), dim=0))
        for _ in range(_FIRST_ITERATIONS):
            self(weight)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight with a spectral norm of 1."""
        with torch.autocast(weight.device.type, enabled=False):
            matrix = weight.flatten(1)
            with torch.no_grad():
                v = normalize(torch.mv(matrix.T, self.u), dim=0)
                u = normalize(torch.mv(matrix, v), dim=0)
                if self.training:
                    self.u.copy_(u)
            sigma = torch.dot(u, torch.mv(matrix, v))
            return weight / sigma


def normalise_spectrally(network: Network) -> Network:
    """Apply spectral norm to every convolution, dense layer and embedding of a network, and return the network.

    The weights must be initialised: their first singular vectors are estimated here.
    """
    for module in list(network.modules()):
        if isinstance(module, _LAYERS):
            parametrize.register_parametrization(module, "weight", SpectralNorm(module.weight.detach()))
    return network
