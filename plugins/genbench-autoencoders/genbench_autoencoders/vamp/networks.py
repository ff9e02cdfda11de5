"""The networks of the VAE with a VampPrior (Tomczak & Welling 2018, section 5, one layer of latents).

    encoder          values of the image -> gated 300 -> gated 300 -> mean and log variance, latent_dim each
    decoder          latent_dim -> gated 300 -> gated 300 -> logits of the values
    pseudo_inputs    K trained images in [0, 1]

A gated layer is (A h + a) · sigmoid(B h + b). For 28×28×1, 40 latents and K = 500: encoder 675,680, decoder 441,184 and
pseudo-inputs 392,000 parameters. Pseudo-inputs are sigmoids of trained values here, so that none has a gradient of 0.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import genbench
from genbench_autoencoders.vamp import VampOptions

_LOG_VARIANCES = (-6.0, 2.0)  # of q(z|x): neither a component of the prior nor a posterior degenerates


class Gated(nn.Module):
    """(A h + a) · sigmoid(B h + b), (B, inputs) -> (B, outputs)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.value = nn.Linear(inputs, outputs)
        self.gate = nn.Linear(inputs, outputs)
        self.sigmoid = nn.Sigmoid()

    def forward(self, hidden: Tensor) -> Tensor:
        """Return (B, outputs)."""
        return self.value(hidden) * self.sigmoid(self.gate(hidden))  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """From images (B, c, h, b) to mean and log variance of q(z|x), (B, latent_dim) each."""

    def __init__(self, values: int, latent_dim: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), Gated(values, hidden), Gated(hidden, hidden))
        self.mean = nn.Linear(hidden, latent_dim)
        self.log_variance = nn.Linear(hidden, latent_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance, the latter squeezed smoothly into (-6, 2)."""
        hidden = self.body(images)
        low, high = _LOG_VARIANCES
        return self.mean(hidden), low + (high - low) * self.log_variance(hidden).sigmoid()


class PseudoInputs(nn.Module):
    """K images (K, c, h, b) in [0, 1], each value a sigmoid of a parameter."""

    def __init__(self, count: int, image_shape: genbench.Shape) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.randn(count, *image_shape) - 1)

    def forward(self) -> Tensor:
        """Return the images."""
        return self.values.sigmoid()


def build(image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: VampOptions) -> dict[str, nn.Module]:
    """Return encoder, decoder and pseudo-inputs."""
    values, hidden = math.prod(image_shape), options.hidden
    decoder = nn.Sequential(
        Gated(latent_dim, hidden), Gated(hidden, hidden), nn.Linear(hidden, values), nn.Unflatten(1, image_shape)
    )
    return {
        "encoder": Encoder(values, latent_dim, hidden),
        "decoder": decoder,
        "pseudo_inputs": PseudoInputs(options.pseudo_inputs, image_shape),
    }
