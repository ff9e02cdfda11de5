"""Self-attention over the places of a map (Zhang et al. 2019, arXiv:1805.08318, section 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import max_pool2d


class SelfAttention(nn.Module):
    """Adds to each place of maps (B, C, h, w) a weighted mean of all places, y = x + γ o, with γ = 0 at first.

    Place j receives o_j = W_v Σ_i β_ji W_h x_i with β_ji = softmax over i of (W_f x_i)ᵀ (W_g x_j) (their equations 1 to
    3). W_f and W_g map to C/8 channels, W_h to C/2, and W_v back to C. As in the authors' code, the places i are those
    after a max pooling of W_f x and W_h x over 2 × 2, a quarter of them; that code was not compared line by line.
    Parameters: C²/8 · 2 + C²/2 · 2 + 1.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.key = nn.Conv2d(channels, channels // 8, 1, bias=False)  # W_f
        self.query = nn.Conv2d(channels, channels // 8, 1, bias=False)  # W_g
        self.value = nn.Conv2d(channels, channels // 2, 1, bias=False)  # W_h
        self.output = nn.Conv2d(channels // 2, channels, 1, bias=False)  # W_v
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps of the same shape."""
        keys, values = max_pool2d(self.key(maps), 2).flatten(2), max_pool2d(self.value(maps), 2).flatten(2)
        queries = self.query(maps).flatten(2)
        weights = (queries.mT @ keys).softmax(dim=2)  # (B, places, pooled places)
        means = (values @ weights.mT).unflatten(2, maps.shape[2:])
        result: Tensor = maps + self.gamma * self.output(means)
        return result
