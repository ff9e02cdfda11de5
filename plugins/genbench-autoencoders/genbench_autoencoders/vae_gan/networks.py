"""The networks of `vae-gan`, for images of c channels and sides h and b that are multiples of 4; width w = 64.

    encoder          Conv k4 s2  w × h/2, Conv k4 s2 2w × h/4        batch norm, ReLU; dense (mean, log variance)
    decoder          dense 2w × h/4, ConvT k4 s2  w × h/2, ConvT k4 s2  c × h        batch norm, ReLU; tanh
    discriminator    Conv k4 s2  w × h/2, Conv k4 s2 2w × h/4        LeakyReLU 0.2; dense 1

The features of the discriminator are its last maps. For 28×28×1 and 64 latents: encoder 935,616, decoder 540,225 and
discriminator 138,561 parameters. The networks of the paper, for 64 pixels, have one more convolution and dense layer.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

import genbench
from genbench_autoencoders.vae_gan import VAEGANOptions


class Encoder(nn.Module):
    """From images (B, c, h, b) to mean and log variance of q(z|x), (B, latent_dim) each."""

    def __init__(self, image_shape: genbench.Shape, latent_dim: int, width: int) -> None:
        super().__init__()
        channels, height, breadth = image_shape
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(2 * width * (height // 4) * (breadth // 4), 2 * latent_dim),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance."""
        mean, log_variance = self.body(images).chunk(2, 1)
        return mean, log_variance


class Discriminator(nn.Module):
    """From images (B, c, h, b) to logits (B, 1) and features (B, 2w, h/4, b/4)."""

    def __init__(self, image_shape: genbench.Shape, width: int) -> None:
        super().__init__()
        channels, height, breadth = image_shape
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(width, 2 * width, 4, 2, 1)
        )
        self.head = nn.Sequential(
            nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(2 * width * (height // 4) * (breadth // 4), 1)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and features."""
        features = self.features(images)
        return self.head(features), features


def decoder(image_shape: genbench.Shape, latent_dim: int, width: int) -> nn.Sequential:
    """Return the layers from latents (B, latent_dim) to images (B, c, h, b) in [-1, 1]."""
    channels, height, breadth = image_shape
    smallest = (2 * width, height // 4, breadth // 4)
    return nn.Sequential(
        nn.Linear(latent_dim, math.prod(smallest)),
        nn.Unflatten(1, smallest),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.ConvTranspose2d(width, channels, 4, 2, 1),
        nn.Tanh(),
    )


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: VAEGANOptions
) -> dict[str, nn.Module]:
    """Return encoder, decoder and discriminator."""
    return {
        "encoder": Encoder(image_shape, latent_dim, options.width),
        "decoder": decoder(image_shape, latent_dim, options.width),
        "discriminator": Discriminator(image_shape, options.width),
    }
