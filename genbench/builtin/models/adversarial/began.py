"""BEGAN (Berthelot et al. 2017, section 3.5): the discriminator is an autoencoder, the generator is like its decoder.

Width n, h latents from U(-1, 1); the image is halved k times, while its side is even and above 8 (28 -> 7; 32, 64 and
128 -> 8). ELU after every convolution but the last of each network:

    decoder        h
                   dense        n × smallest
                   Conv k3      n, twice; then, k times: ×2 by nearest neighbours, and again Conv k3 n, twice
                   Conv k3      c × s       tanh in the generator (the paper's is linear)
    encoder        Conv k3      n × s
                   Conv k3      i·n, twice                 at level i = 1, …, k + 1
                   Conv k3 s2   (i + 1)·n                  between two levels
                   dense        h

For 32×32×3: generator 489,539 and discriminator 2,606,019 parameters. The discriminator is encoder and decoder: it
returns images and their codes. The vanishing residuals and skip connections of the paper are left out.
"""

from __future__ import annotations

from torch import Tensor, nn

import genbench
from genbench.builtin.models.adversarial import BEGANOptions

_SMALLEST = 8  # the side above which maps are halved


def halvings(size: int) -> int:
    """Return how often an image of this side is halved."""
    times = 0
    while size % 2 == 0 and size > _SMALLEST:
        size, times = size // 2, times + 1
    return times


def decoder_layers(latent_dim: int, channels: int, size: int, width: int) -> list[nn.Module]:
    """Return the layers from latents (B, latent_dim) to images (B, channels, size, size), without an activation."""
    times = halvings(size)
    smallest = size >> times
    layers: list[nn.Module] = [nn.Linear(latent_dim, width * smallest**2), nn.Unflatten(1, (width, smallest, smallest))]
    for level in range(times + 1):
        if level:
            layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
        layers += _pair(width)
    return [*layers, nn.Conv2d(width, channels, 3, 1, 1)]


def encoder_layers(latent_dim: int, channels: int, size: int, width: int) -> list[nn.Module]:
    """Return the layers from images (B, channels, size, size) to (B, latent_dim)."""
    times = halvings(size)
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, 1, 1), nn.ELU()]
    for level in range(1, times + 2):
        layers += _pair(level * width)
        if level <= times:
            layers += [nn.Conv2d(level * width, (level + 1) * width, 3, 2, 1), nn.ELU()]
    return [*layers, nn.Flatten(), nn.Linear((times + 1) * width * (size >> times) ** 2, latent_dim)]


class Autoencoder(nn.Module):
    """From images (B, channels, size, size) to their reconstructions and codes (B, latent_dim)."""

    def __init__(self, latent_dim: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*encoder_layers(latent_dim, channels, size, width))
        self.decoder = nn.Sequential(*decoder_layers(latent_dim, channels, size, width))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return reconstructions and codes."""
        codes = self.encoder(images)
        return self.decoder(codes), codes


def _pair(width: int) -> list[nn.Module]:
    return [nn.Conv2d(width, width, 3, 1, 1), nn.ELU(), nn.Conv2d(width, width, 3, 1, 1), nn.ELU()]


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: BEGANOptions
) -> dict[str, nn.Module]:
    """Return the generator and the discriminator."""
    channels, size, _ = image_shape
    sizes = (latent_dim, channels, size, options.width)
    return {
        "generator": nn.Sequential(*decoder_layers(*sizes), nn.Tanh()),
        "discriminator": Autoencoder(*sizes),
    }
