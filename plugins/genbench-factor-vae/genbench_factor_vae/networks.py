"""The networks of FactorVAE (Kim & Mnih 2018, appendix A), for 64 pixels as in the paper, and for 28 and 32.

Width w = 32, hidden h = 128, 10 latents, images of c channels:

                     64 pixels              32 pixels              28 pixels
    encoder          Conv k4 s2  w × 32²
                     Conv k4 s2  w × 16²    Conv k4 s2  w × 16²    Conv k4 s2  w × 14²
                     Conv k4 s2 2w ×  8²    Conv k4 s2 2w ×  8²    Conv k4 s2 2w ×  7²
                     Conv k4 s2 2w ×  4²    Conv k4 s2 2w ×  4²    Conv k3 s2 2w ×  4²
                     dense h, dense (mean, log variance)
    decoder          dense h, dense 2w × 4², then the reverse by transposed convolutions to c channels (logits)
    discriminator    10 -> 1000, five times 1000 -> 1000, -> 2

ReLU after each hidden layer of encoder and decoder, LeakyReLU 0.2 after those of the discriminator, no normalisation.
Parameters (encoder, decoder, discriminator): 28×28×1 204,084, 203,745; 64×64×1 249,172, 248,833; 5,018,002 each.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

import genbench
from genbench_factor_vae import FactorVAEOptions

_LAYERS = 6  # of the discriminator
_SMALLEST = 4  # height and width of the coarsest maps


class Encoder(nn.Module):
    """From images (B, c, size, size) to mean and log variance of q(z|x), (B, latent_dim) each."""

    def __init__(self, channels: list[int], kernels: list[int], hidden: int, latent_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for (inputs, outputs), kernel in zip(pairwise(channels), kernels, strict=True):
            layers += [nn.Conv2d(inputs, outputs, kernel, 2, 1), nn.ReLU()]
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * _SMALLEST**2, hidden), nn.ReLU())
        self.mean = nn.Linear(hidden, latent_dim)
        self.log_variance = nn.Linear(hidden, latent_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance."""
        hidden = self.body(images)
        return self.mean(hidden), self.log_variance(hidden)


def decoder(channels: list[int], kernels: list[int], hidden: int, latent_dim: int) -> nn.Sequential:
    """Return the layers from latents (B, latent_dim) to logits (B, channels[-1], size, size)."""
    smallest = (channels[0], _SMALLEST, _SMALLEST)
    layers: list[nn.Module] = [nn.Linear(latent_dim, hidden), nn.ReLU()]
    layers += [nn.Linear(hidden, channels[0] * _SMALLEST**2), nn.ReLU(), nn.Unflatten(1, smallest)]
    for (inputs, outputs), kernel in zip(pairwise(channels), kernels, strict=True):
        layers += [nn.ConvTranspose2d(inputs, outputs, kernel, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def discriminator(latent_dim: int, width: int) -> nn.Sequential:
    """Return the perceptron from latents (B, latent_dim) to two logits (B, 2)."""
    layers: list[nn.Module] = []
    for inputs in (latent_dim, *[width] * (_LAYERS - 1)):
        layers += [nn.Linear(inputs, width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Linear(width, 2))


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: FactorVAEOptions
) -> dict[str, nn.Module]:
    """Return encoder, decoder and discriminator."""
    channels, size, _ = image_shape
    outer, inner = options.width, 2 * options.width
    maps = [channels, *([outer, outer] if size == 64 else [outer]), inner, inner]
    kernels = [4] * (len(maps) - 2) + [3 if size == 28 else 4]  # 7 × 7 <-> 4 × 4 takes k3
    return {
        "encoder": Encoder(maps, kernels, options.hidden, latent_dim),
        "decoder": decoder(maps[::-1], kernels[::-1], options.hidden, latent_dim),
        "discriminator": discriminator(latent_dim, options.discriminator_width),
    }
