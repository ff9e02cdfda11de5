"""Conditional VAE of multilayer perceptrons (Kingma et al. 2014, model M2, all labels known): `vae` with labels.

    encoder  (x, y) -> 400 ReLU -> (mean, log variance), 20 each
    decoder  (z, y) -> 400 ReLU -> D logits

y is one-hot, the prior is N(0, 1). With K classes each network has K·400 more parameters than in `vae`; for 28×28×1
and 10 classes: encoder 334,040 and decoder 326,784 parameters.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

import genbench
from genbench.builtin.models.labels import append_one_hot, require_classes
from genbench.builtin.models.variational import VAEOptions, vae


class Encoder(nn.Module):
    """From images (B, c, height, width) and labels (B,) to mean and log variance of q(z|x,y), (B, latent_dim) each."""

    def __init__(self, values: int, num_classes: int, hidden: int, latent_dim: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.body = vae.Encoder(values + num_classes, hidden, latent_dim)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance."""
        encoded: tuple[Tensor, Tensor] = self.body(append_one_hot(images.flatten(1), labels, self.num_classes))
        return encoded


class Decoder(nn.Module):
    """From latents (B, latent_dim) and labels (B,) to logits of images (B, c, height, width)."""

    def __init__(self, latent_dim: int, num_classes: int, hidden: int, image_shape: genbench.Shape) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.body = vae.decoder(latent_dim + num_classes, hidden, image_shape)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return logits."""
        logits: Tensor = self.body(append_one_hot(latents, labels, self.num_classes))
        return logits


def build(image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: VAEOptions) -> dict[str, nn.Module]:
    """Return the encoder and the decoder."""
    require_classes("cvae", num_classes)
    return {
        "encoder": Encoder(math.prod(image_shape), num_classes, options.hidden, latent_dim),
        "decoder": Decoder(latent_dim, num_classes, options.hidden, image_shape),
    }
