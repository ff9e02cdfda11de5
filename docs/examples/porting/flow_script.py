"""A plain training script of a normalising flow with affine coupling layers (Dinh et al. 2017, arXiv:1605.08803)."""

import math

import torch
from torch import nn

STEPS, BATCH, VALUES = 2, 32, 784


class Coupling(nn.Module):
    """Scales and shifts one half of the values, given the other half."""

    def __init__(self, flip):
        super().__init__()
        self.flip = flip
        self.body = nn.Sequential(nn.Linear(VALUES // 2, 128), nn.ReLU(), nn.Linear(128, VALUES))

    def forward(self, values):
        """Return the new values, and the logarithm of the determinant for each image."""
        kept, changed = values.chunk(2, 1) if not self.flip else values.chunk(2, 1)[::-1]
        scale, shift = self.body(kept).chunk(2, 1)
        changed = changed * scale.tanh().exp() + shift
        return torch.cat([changed, kept] if self.flip else [kept, changed], 1), scale.tanh().sum(1)


layers = nn.ModuleList([Coupling(number % 2) for number in range(4)])
optimizer = torch.optim.Adam(layers.parameters(), lr=1e-3)
levels = torch.load("images.pt").float()  # uint8 (N, 1, 28, 28)

for step in range(STEPS):
    batch = levels[torch.randint(len(levels), (BATCH,))].flatten(1)
    unit = 0.05 + 0.9 * (batch + torch.rand_like(batch)) / 256  # dequantised, away from 0 and 1
    values = unit.logit()
    log_density = (-unit.log() - (1 - unit).log()).sum(1) + VALUES * math.log(0.9 / 256)
    for layer in layers:
        values, log_determinant = layer(values)
        log_density = log_density + log_determinant
    log_density = log_density - 0.5 * (values.square() + math.log(2 * math.pi)).sum(1)
    bits = -log_density.mean() / (VALUES * math.log(2))
    optimizer.zero_grad()
    bits.backward()
    optimizer.step()
    print(step, bits.item())
