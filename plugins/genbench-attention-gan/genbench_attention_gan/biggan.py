"""BigGAN (Brock et al. 2019, arXiv:1809.11096, appendix B): every stage receives its own latents and the class.

The latents are divided among the dense layer and the n blocks, k = latent_dim / (n + 1) each (20 of 120 at 128 pixels).

    generator  z_0 (k), dense to C × s × s, blocks up, batch norm, ReLU, Conv k3 -> c, tanh

The norms of block i have the gains 1 + A (e(y), z_i) and the shifts B (e(y), z_i), where A and B are matrices without
bias and e(y) is an embedding of 128 values that all layers share; without labels, of z_i alone. Attention on maps of
half the image's side: 64 × 64 at 128 pixels. Weights are orthogonal.

Parameters at the published configuration, 128 pixels, w = 96 and 1,000 classes: generator 70,433,988, discriminator
87,982,370, together 158.4 million (Brock et al. 2019, table 1: 158.3). For 28×28×1, w = 16 and 10 classes:
216,962 and 36,114.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import genbench
from genbench_attention_gan import BigGANOptions
from genbench_attention_gan.blocks import BatchNorm, Generator, discriminator, stages, zero_biases
from genbench_attention_gan.classes import require_classes
from genbench_attention_gan.spectral_norm import normalise


class BigGANGenerator(nn.Module):
    """From latents (B, latent_dim), and labels (B,) if there are classes, to images (B, c, size, size) in [-1, 1]."""

    def __init__(self, image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: BigGANOptions) -> None:
        super().__init__()
        channels, size, _ = image_shape
        self.side, factors = stages(size)
        self.share = _share(latent_dim, len(factors))  # latents of each stage
        self.embedding = nn.Embedding(num_classes, options.embedding) if num_classes else None
        self.dense = nn.Linear(self.share, factors[0] * options.width * self.side**2)
        inputs = self.share + (options.embedding if num_classes else 0)

        def norm(stage: int, channels: int) -> BatchNorm:
            gain, shift = (nn.Linear(inputs, channels, bias=False) for _ in range(2))
            return BatchNorm(channels, gain, shift, centre=1.0)

        self.body = Generator(channels, size, options.width, options.attention, norm)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images."""
        first, *others = latents.split(self.share, dim=1)
        if self.embedding is not None:
            embedded = self.embedding(labels)
            others = [torch.cat([embedded, part], dim=1) for part in others]
        maps = self.dense(first).unflatten(1, (-1, self.side, self.side))
        images: Tensor = self.body(maps, others)
        return images


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: BigGANOptions
) -> dict[str, nn.Module]:
    """Return the networks of `biggan`."""
    require_classes("biggan", num_classes)
    return _networks(image_shape, latent_dim, num_classes, options)


def build_unconditional(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: BigGANOptions
) -> dict[str, nn.Module]:
    """Return the networks of `biggan-unconditional`."""
    return _networks(image_shape, latent_dim, 0, options)


def _networks(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: BigGANOptions
) -> dict[str, nn.Module]:
    generator = BigGANGenerator(image_shape, latent_dim, num_classes, options)
    return {
        "generator": normalise(generator.apply(_initialise), nn.Conv2d, nn.Linear),
        "discriminator": discriminator(image_shape, options.width, options.attention, num_classes, _initialise),
    }


def _share(latent_dim: int, parts: int) -> int:
    if latent_dim % parts:
        raise genbench.GenbenchError(
            f"latent_dim = {latent_dim} cannot be divided among {parts} stages.",
            f"Set latent_dim to a multiple of {parts}, such as {-(-latent_dim // parts) * parts}.",
        )
    return latent_dim // parts


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
        nn.init.orthogonal_(layer.weight)
    zero_biases(layer)
