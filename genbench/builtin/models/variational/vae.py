"""VAE of multilayer perceptrons (Kingma & Welling 2014), with the layer sizes of the usual MNIST example.

    encoder  D -> 400 ReLU -> (mean, log variance), 20 each
    decoder  20 -> 400 ReLU -> D logits

For 28×28×1: encoder 330,040 and decoder 322,784 parameters.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

import genbench
from genbench.builtin.models.variational import VAEOptions


class Encoder(nn.Module):
    """From images (B, c, height, width) to mean and log variance of q(z|x), (B, latent_dim) each."""

    def __init__(self, values: int, hidden: int, latent_dim: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(values, hidden), nn.ReLU())
        self.mean = nn.Linear(hidden, latent_dim)
        self.log_variance = nn.Linear(hidden, latent_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance."""
        hidden = self.body(images)
        return self.mean(hidden), self.log_variance(hidden)


def decoder(inputs: int, hidden: int, image_shape: genbench.Shape) -> nn.Sequential:
    """Return the perceptron from vectors (B, inputs) to logits of images (B, c, height, width)."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.ReLU(),
        nn.Linear(hidden, math.prod(image_shape)),
        nn.Unflatten(1, image_shape),
    )


def build(image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: VAEOptions) -> dict[str, nn.Module]:
    """Return the encoder and the decoder."""
    decoding = decoder(latent_dim, options.hidden, image_shape)
    return {"encoder": Encoder(math.prod(image_shape), options.hidden, latent_dim), "decoder": decoding}
