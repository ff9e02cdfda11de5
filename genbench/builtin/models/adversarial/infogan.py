"""The InfoGAN networks for 28 pixels (Chen et al. 2016), with which Lucic et al. 2018 compared all GANs and the VAE.

Width w = 64, hidden h = 1024, 64 latents from U(-1, 1); weights N(0, 0.02), batch-norm scales N(1, 0.02).

    generator      z 64
                   dense        h              batch norm, LeakyReLU 0.2
                   dense       2w ×  7 ×  7    batch norm, LeakyReLU 0.2
                   ConvT k4 s2  w × 14 × 14    batch norm, LeakyReLU 0.2
                   ConvT k4 s2  c × 28 × 28    logits of images in [0, 1]
    discriminator  Conv k4 s2   w × 14 × 14    LeakyReLU 0.2
                   Conv k4 s2  2w ×  7 ×  7    batch norm, LeakyReLU 0.2
                   dense        h              batch norm, LeakyReLU 0.2
                   dense        1              logit

For 28×28×1: generator 6,642,241 and discriminator 6,559,169 parameters. `conv-vae` is the VAE with the same networks:
its decoder is this generator with ReLU (as in the paper), its encoder this discriminator with two heads of 64 instead
of the logit. Apart from the training principle, the pair differs in the prior (normal there) and the initialisation
(torch's default there). With norm = none the discriminator has no batch norm (the paper searched over both).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

from torch import nn

import genbench
from genbench.builtin.models.adversarial import InfoGANOptions
from genbench.builtin.models.adversarial.dcgan import initialise


def generator_layers(
    image_shape: genbench.Shape, latent_dim: int, width: int, hidden: int, activation: Callable[[], nn.Module]
) -> list[nn.Module]:
    """Return the layers from latents (B, latent_dim) to logits (B, c, height, width); sides divisible by 4."""
    channels, height, breadth = image_shape
    smallest = (2 * width, height // 4, breadth // 4)
    values = smallest[0] * smallest[1] * smallest[2]
    return [
        nn.Linear(latent_dim, hidden),
        nn.BatchNorm1d(hidden),
        activation(),
        nn.Linear(hidden, values),
        nn.BatchNorm1d(values),
        activation(),
        nn.Unflatten(1, smallest),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1),
        nn.BatchNorm2d(width),
        activation(),
        nn.ConvTranspose2d(width, channels, 4, 2, 1),
    ]


def feature_layers(
    image_shape: genbench.Shape, width: int, hidden: int, norm: Literal["batch", "none"] = "batch"
) -> list[nn.Module]:
    """Return the layers from images (B, c, height, width) to features (B, hidden); sides divisible by 4."""
    channels, height, breadth = image_shape
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 4, 2, 1),  # width × height/2 × breadth/2
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 2 * width, 4, 2, 1),  # 2·width × height/4 × breadth/4
        nn.BatchNorm2d(2 * width),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(2 * width * (height // 4) * (breadth // 4), hidden),
        nn.BatchNorm1d(hidden),
        nn.LeakyReLU(0.2),
    ]
    if norm == "batch":
        return layers
    return [layer for layer in layers if not isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: InfoGANOptions
) -> dict[str, nn.Module]:
    """Return the generator and the discriminator."""
    width, hidden = options.width, options.hidden
    generator = nn.Sequential(*generator_layers(image_shape, latent_dim, width, hidden, partial(nn.LeakyReLU, 0.2)))
    discriminator = nn.Sequential(
        *feature_layers(image_shape, width, hidden, options.norm), nn.Linear(hidden, 1), nn.Flatten(0)
    )
    return {"generator": generator.apply(initialise), "discriminator": discriminator.apply(initialise)}
