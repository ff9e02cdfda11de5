"""The U-Net of Ho et al. 2020 (arXiv:2006.11239, appendix B): residual blocks, and attention at 16 × 16.

Width w, `blocks` n = 2, images of c × s × s, with channels m·w at each resolution:

    pixels   m, from the finest       resolutions
    28       1, 2, 2                  28, 14, 7
    32       1, 2, 2, 2               32, 16, 8, 4
    64       1, 1, 2, 2               64, 32, 16, 8
    128      1, 1, 2, 2, 2            128, 64, 32, 16, 8

    stem   Conv k3                                       w
    down   n × (block, attention at 14 or 16)            m·w, each with a skip connection
           Conv k3 s2, but for the coarsest              m·w, skip connection
    middle block, attention, block
    up     n + 1 × (concat skip, block, attention)       m·w, from the coarsest
           ×2, Conv k3, but for the finest
    head   group norm, SiLU, Conv k3                     c

    block      x + Conv k3(SiLU(norm(Conv k3(SiLU(norm(x))) + Dense(SiLU(time))))); if channels change, Conv k1(x) + …
    attention  x + Conv k1(softmax(qᵀk / √channels) v), with q, k, v = Conv k1(norm(x)), one head

The time is embedded as w sines and cosines of 1000 c_noise, followed by two dense layers of 4w.
Parameters: 35,746,307 for 32×32×3 at w = 128 (their table of CIFAR-10: 35.7 million). Dropout, 0.1 in the paper, is a
setting of the recipe (`--dropout`). Groups have at least 4 channels, and there are at most 32, as in the paper.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

import genbench
from genbench_diffusion import DDPMUNetOptions

MULTIPLIERS = {28: (1, 2, 2), 32: (1, 2, 2, 2), 64: (1, 1, 2, 2), 128: (1, 1, 2, 2, 2)}
ATTENTION = (14, 16)  # pixels


class TimeEmbedding(nn.Module):
    """From c_noise (B,) to features (B, 4w); Vaswani et al. 2017 (arXiv:1706.03762), section 3.5."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        exponent = torch.arange(half) / (half - 1)
        self.register_buffer("frequencies", 1000 * torch.pow(10_000.0, -exponent), persistent=False)
        self.body = nn.Sequential(nn.Linear(2 * half, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width), nn.SiLU())

    def forward(self, time: Tensor) -> Tensor:
        """Return the features, after the SiLU that each block starts with."""
        angles = time[:, None] * self.frequencies
        features: Tensor = self.body(torch.cat([angles.sin(), angles.cos()], 1))
        return features


class Block(nn.Module):
    """Two convolutions with a shortcut; the time is added between them."""

    def __init__(self, inputs: int, outputs: int, features: int) -> None:
        super().__init__()
        self.first = nn.Sequential(_norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, 1, 1))
        self.time = nn.Linear(features, outputs)
        self.last = nn.Sequential(_norm(outputs), nn.SiLU(), _small(nn.Conv2d(outputs, outputs, 3, 1, 1)))
        self.short_cut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, images: Tensor, features: Tensor) -> Tensor:
        """Return maps (B, outputs, …) from maps (B, inputs, …)."""
        hidden = self.first(images) + self.time(features)[:, :, None, None]
        added: Tensor = self.short_cut(images) + self.last(hidden)
        return added


class Attention(nn.Module):
    """Every pixel attends to all, with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inputs = nn.Sequential(_norm(channels), nn.Conv2d(channels, 3 * channels, 1))
        self.output = _small(nn.Conv2d(channels, channels, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return maps of the same shape."""
        query, key, value = self.inputs(images).flatten(2).transpose(1, 2).chunk(3, 2)
        attended = scaled_dot_product_attention(query, key, value).transpose(1, 2)
        added: Tensor = images + self.output(attended.reshape(images.shape))
        return added


class Stage(nn.Module):
    """A block, and attention at some resolutions."""

    def __init__(self, inputs: int, outputs: int, features: int, size: int) -> None:
        super().__init__()
        self.block = Block(inputs, outputs, features)
        self.attention = Attention(outputs) if size in ATTENTION else nn.Identity()

    def forward(self, images: Tensor, features: Tensor) -> Tensor:
        """Return maps (B, outputs, …)."""
        changed: Tensor = self.attention(self.block(images, features))
        return changed


class DDPMUNet(nn.Module):
    """From noisy images (B, c, s, s) and c_noise (B,) to F, (B, c, s, s)."""

    def __init__(self, channels: int, size: int, width: int, blocks: int) -> None:
        super().__init__()
        widths, features = [factor * width for factor in MULTIPLIERS[size]], 4 * width
        self.time = TimeEmbedding(width)
        self.stem = nn.Conv2d(channels, width, 3, 1, 1)
        self.down, self.coarser = nn.ModuleList(), nn.ModuleList()
        kept = [width]  # channels of the skip connections
        for level, outputs in enumerate(widths):
            stages = nn.ModuleList()
            for _ in range(blocks):
                inputs = kept[-1]
                stages.append(Stage(inputs, outputs, features, size >> level))
                kept.append(outputs)
            self.down.append(stages)
            if level < len(widths) - 1:
                self.coarser.append(nn.Conv2d(outputs, outputs, 3, 2, 1))
                kept.append(outputs)
        last = widths[-1]
        self.middle = nn.ModuleList([Block(last, last, features), Attention(last), Block(last, last, features)])
        self.up, self.finer = nn.ModuleList(), nn.ModuleList()
        hidden = last
        for level, outputs in reversed(list(enumerate(widths))):
            stages = nn.ModuleList()
            for _ in range(blocks + 1):
                stages.append(Stage(hidden + kept.pop(), outputs, features, size >> level))
                hidden = outputs
            self.up.append(stages)
            if level:
                self.finer.append(nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(outputs, outputs, 3, 1, 1)))
        self.head = nn.Sequential(_norm(width), nn.SiLU(), _small(nn.Conv2d(width, channels, 3, 1, 1)))

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        """Return F."""
        features = self.time(noise)
        hidden = self.stem(images)
        kept = [hidden]
        for level, stages in enumerate(self.down):
            for stage in stages:  # type: ignore[union-attr]
                hidden = stage(hidden, features)
                kept.append(hidden)
            if level < len(self.coarser):
                hidden = self.coarser[level](hidden)
                kept.append(hidden)
        first, attention, second = self.middle
        hidden = second(attention(first(hidden, features)), features)
        for level, stages in enumerate(self.up):
            for stage in stages:  # type: ignore[union-attr]
                hidden = stage(torch.cat([hidden, kept.pop()], 1), features)
            if level < len(self.finer):
                hidden = self.finer[level](hidden)
        predicted: Tensor = self.head(hidden)
        return predicted


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: DDPMUNetOptions
) -> dict[str, nn.Module]:
    """Return the denoiser; `latent_dim` is not used: a latent has as many values as an image."""
    channels, size, _ = image_shape
    return {"denoiser": DDPMUNet(channels, size, options.width, options.blocks)}


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(32, max(1, channels // 4)), channels, eps=1e-6)  # as the authors


def _small(layer: nn.Conv2d) -> nn.Conv2d:
    """Start close to the identity; the authors start at zero, where the blocks would get no gradient in one step."""
    with torch.no_grad():
        layer.weight.mul_(0.01)
    return layer
