"""Conditional DCGAN: a label embedding in the generator, a projection discriminator (Miyato & Koyama 2018).

    generator      z concatenated with an embedding e(y) of 50 values, through the generator of `dcgan`
    discriminator  the convolutions of `dcgan`, summed over their smallest maps to φ(x) of C values, then
                   D(x, y) = ⟨ψ, φ(x)⟩ + b + ⟨V_y, φ(x)⟩   (their eq. 3 and figure 1d)

Compared with `dcgan`, with K classes, e values and a first kernel of k × k, the generator has e·(K + k²·C) more
parameters; the discriminator has C + 1 + K·C instead of the k²·C of the last convolution. For 32×32×3, width 64 and 10
classes: generator 1,274,228 and discriminator 662,017 parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import genbench
from genbench.builtin.models.adversarial import CDCGANOptions
from genbench.builtin.models.adversarial.dcgan import feature_layers, generator_layers, initialise, stages
from genbench.builtin.models.labels import require_classes


class Generator(nn.Module):
    """From latents (B, latent_dim) and labels (B,) to images (B, c, size, size) in [-1, 1]."""

    def __init__(self, latent_dim: int, num_classes: int, embedding: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_classes, embedding)  # initialised as N(0, 1), the scale of the latents
        self.body = nn.Sequential(*generator_layers(latent_dim + embedding, channels, size, width), nn.Tanh())

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return images."""
        images: Tensor = self.body(torch.cat([latents, self.embedding(labels)], dim=1))
        return images


class Discriminator(nn.Module):
    """From images (B, c, size, size) and labels (B,) to logits (B,)."""

    def __init__(self, num_classes: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        features = stages(size, width)[1][0]
        self.body = nn.Sequential(*feature_layers(channels, size, width))
        self.unconditional = nn.Linear(features, 1)  # ψ
        self.projection = nn.Embedding(num_classes, features)  # V
        nn.init.normal_(self.projection.weight, 0.0, 0.02)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return logits."""
        features = self.body(images).sum(dim=(2, 3))
        logits: Tensor = self.unconditional(features).squeeze(1) + (self.projection(labels) * features).sum(dim=1)
        return logits


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: CDCGANOptions
) -> dict[str, nn.Module]:
    """Return the generator and the discriminator."""
    require_classes("cdcgan", num_classes)
    channels, size, _ = image_shape
    return {
        "generator": Generator(latent_dim, num_classes, options.embedding, channels, size, options.width).apply(
            initialise
        ),
        "discriminator": Discriminator(num_classes, channels, size, options.width).apply(initialise),
    }
