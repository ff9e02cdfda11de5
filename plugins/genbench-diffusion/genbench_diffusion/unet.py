"""A small U-Net conditioned on the noise level (after Ho et al. 2020, appendix B; no attention, one block per level).

Width w = 32, images of c × s × s; s/4 is the coarsest level of 28 and 32 pixels, s/8 that of 64, s/16 that of 128:

    stem   Conv k3                          w ×  s  ×  s
    down   block                            w ×  s  ×  s   skip connection
           Conv k3 s2, block               2w × s/2 × s/2  skip connection
           Conv k3 s2, block               2w × s/4 × s/4  skip connection
           (64 pixels: once more, 128: twice more)         skip connections
    middle block                           2w at the coarsest level
    up     concat skip, block, ×2          the levels in reverse; the last block has w channels
    head   group norm, SiLU, Conv k3        c ×  s  ×  s

    block  x + Conv k3(SiLU(FiLM(norm(Conv k3(SiLU(norm(x)))), noise))); if channels change, Conv k1(x) + …

The noise level is embedded as w sines and cosines, followed by two dense layers of 4w. A conditional U-Net adds one of
classes + 1 vectors of 4w to the noise features; the last stands for a hidden label.
Parameters: 670,241 for 28×28×1, 934,819 for 64×64×3.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import genbench
from genbench_diffusion import ConditionalOptions, UNetOptions

_SMALL = 0.01  # scale of the initial weights in last layers, so that each block starts close to the identity


class NoiseEmbedding(nn.Module):
    """From c_noise (B,), of order 1, to features (B, features)."""

    frequencies: Tensor

    def __init__(self, waves: int, features: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(0, 2, waves // 2), persistent=False)
        self.body = nn.Sequential(
            nn.Linear(2 * (waves // 2), features), nn.SiLU(), nn.Linear(features, features), nn.SiLU()
        )

    def forward(self, noise: Tensor) -> Tensor:
        """Return the features."""
        angles = noise[:, None] * self.frequencies
        features: Tensor = self.body(torch.cat([angles.cos(), angles.sin()], 1))
        return features


class Block(nn.Module):
    """Two convolutions with a shortcut; between them, the noise features scale and shift each channel."""

    def __init__(self, inputs: int, outputs: int, features: int) -> None:
        super().__init__()
        self.first = nn.Sequential(_norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, 1, 1))
        self.norm = _norm(outputs)
        self.film = nn.Linear(features, 2 * outputs)
        self.last = nn.Sequential(nn.SiLU(), _small(nn.Conv2d(outputs, outputs, 3, 1, 1)))
        self.short_cut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, images: Tensor, features: Tensor) -> Tensor:
        """Return maps (B, outputs, …) from maps (B, inputs, …)."""
        scale, shift = self.film(features)[:, :, None, None].chunk(2, 1)
        changed = self.last(self.norm(self.first(images)) * (1 + scale) + shift)
        added: Tensor = self.short_cut(images) + changed
        return added


class UNet(nn.Module):
    """From noisy images (B, c, s, s) and c_noise (B,), and labels (B,) if there are classes, to F, (B, c, s, s)."""

    def __init__(self, channels: int, widths: list[int], classes: int = 0, label_dropout: float = 0.0) -> None:
        super().__init__()
        width, features = widths[0], 4 * widths[0]
        self.noise = NoiseEmbedding(width, features)
        self.label = nn.Embedding(classes + 1, features) if classes else None
        self.label_dropout = label_dropout
        self.stem = nn.Conv2d(channels, width, 3, 1, 1)
        self.down = nn.ModuleList(
            Block(inputs, outputs, features) for inputs, outputs in zip([width, *widths], widths, strict=False)
        )
        self.coarser = nn.ModuleList(nn.Conv2d(outputs, outputs, 3, 2, 1) for outputs in widths[:-1])
        self.middle = Block(widths[-1], widths[-1], features)
        below = [*widths[1:], widths[-1]]
        self.up = nn.ModuleList(
            Block(inputs + kept, kept, features) for inputs, kept in zip(below, widths, strict=True)
        )
        self.finer = nn.Upsample(scale_factor=2)
        self.head = nn.Sequential(_norm(width), nn.SiLU(), _small(nn.Conv2d(width, channels, 3, 1, 1)))

    def forward(self, images: Tensor, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return F."""
        features = self.noise(noise)
        if self.label is not None and labels is not None:
            features = features + self.label(labels)
        hidden = self.stem(images)
        kept = []
        for level, block in enumerate(self.down):
            hidden = block(self.coarser[level - 1](hidden) if level else hidden, features)
            kept.append(hidden)
        hidden = self.middle(hidden, features)
        for level in reversed(range(len(kept))):
            hidden = self.up[level](torch.cat([hidden, kept[level]], 1), features)
            hidden = self.finer(hidden) if level else hidden
        predicted: Tensor = self.head(hidden)
        return predicted


def build(image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: UNetOptions) -> dict[str, nn.Module]:
    """Return the denoiser; `latent_dim` is not used: a latent has as many values as an image."""
    return {"denoiser": UNet(image_shape[0], _widths(image_shape, options.width))}


def build_conditional(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: ConditionalOptions
) -> dict[str, nn.Module]:
    """Return the denoiser that also takes labels, of which `num_classes` stands for a hidden one."""
    widths = _widths(image_shape, options.width)
    return {"denoiser": UNet(image_shape[0], widths, num_classes, options.label_dropout)}


def _widths(image_shape: genbench.Shape, width: int) -> list[int]:
    size = image_shape[1]
    coarser = 4 if size >= 128 else 3 if size >= 64 else 2
    return [width, *[2 * width] * coarser]


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(8, channels), channels)


def _small(layer: nn.Conv2d) -> nn.Conv2d:
    with torch.no_grad():
        layer.weight.mul_(_SMALL)
    return layer
