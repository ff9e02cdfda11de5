"""SAGAN (Zhang et al. 2019, arXiv:1805.08318): the blocks of `blocks.py`, one batch norm for each class.

    generator  z 128, dense to C × s × s, blocks up, batch norm, ReLU, Conv k3 -> c, tanh

The norms in the blocks have a gain and a shift for each class and channel, 1 and 0 at first; without labels, for each
channel. Attention on maps of a quarter of the image's side: 32 × 32 at 128 pixels. Weights are Glorot-uniform.

Parameters at the published configuration, 128 pixels, w = 64 and 1,000 classes: generator 42,078,852, discriminator
39,463,618, together 81.5 million, which is what Brock et al. 2019 (table 1) give for their SAGAN baseline. For 28×28×1,
w = 16 and 10 classes: 449,986 and 37,074.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

import genbench
from genbench_attention_gan import SAGANOptions
from genbench_attention_gan.blocks import BatchNorm, Generator, discriminator, stages, zero_biases
from genbench_attention_gan.classes import require_classes
from genbench_attention_gan.spectral_norm import normalise


class SAGANGenerator(nn.Module):
    """From latents (B, latent_dim), and labels (B,) if there are classes, to images (B, c, size, size) in [-1, 1]."""

    def __init__(
        self, image_shape: genbench.Shape, latent_dim: int, num_classes: int, width: int, attention: str
    ) -> None:
        super().__init__()
        channels, size, _ = image_shape
        self.side, factors = stages(size)
        self.dense = nn.Linear(latent_dim, factors[0] * width * self.side**2)
        self.body = Generator(channels, size, width, attention, partial(_norm, num_classes))

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return images."""
        maps = self.dense(latents).unflatten(1, (-1, self.side, self.side))
        images: Tensor = self.body(maps, [labels] * len(self.body.blocks))
        return images


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: SAGANOptions
) -> dict[str, nn.Module]:
    """Return the networks of `sagan`."""
    require_classes("sagan", num_classes)
    return _networks(image_shape, latent_dim, num_classes, options)


def build_unconditional(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: SAGANOptions
) -> dict[str, nn.Module]:
    """Return the networks of `sagan-unconditional`."""
    return _networks(image_shape, latent_dim, 0, options)


def unconditional_generator(image_shape: genbench.Shape, latent_dim: int, width: int, attention: str) -> nn.Module:
    """Return the generator of `sagan-unconditional`."""
    return _generator(image_shape, latent_dim, 0, width, attention)


def _networks(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: SAGANOptions
) -> dict[str, nn.Module]:
    return {
        "generator": _generator(image_shape, latent_dim, num_classes, options.width, options.attention),
        "discriminator": discriminator(image_shape, options.width, options.attention, num_classes, _initialise),
    }


def _generator(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, width: int, attention: str
) -> SAGANGenerator:
    generator = SAGANGenerator(image_shape, latent_dim, num_classes, width, attention)
    return normalise(generator.apply(_initialise), nn.Conv2d, nn.Linear)


def _norm(num_classes: int, stage: int, channels: int) -> BatchNorm:
    if not num_classes:
        return BatchNorm(channels)
    return BatchNorm(channels, _constant(num_classes, channels, 1.0), _constant(num_classes, channels, 0.0))


def _constant(num_classes: int, channels: int, value: float) -> nn.Embedding:
    return nn.Embedding.from_pretrained(torch.full((num_classes, channels), value), freeze=False)


def _initialise(layer: nn.Module) -> None:
    """Initialise a layer; the gains and shifts of the classes keep their values."""
    if isinstance(layer, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(layer.weight)
    zero_biases(layer)
