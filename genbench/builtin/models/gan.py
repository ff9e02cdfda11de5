"""GAN of multilayer perceptrons (Goodfellow et al. 2014), with the layer sizes that small-image GANs usually take.

With width w = 128 and D = channels·height·width values per image:

    generator      z -> w -> 2w -> 4w -> 8w -> D   LeakyReLU 0.2, batch norm on all hidden layers but the first, tanh
    discriminator  D -> 4w -> 2w -> 1              LeakyReLU 0.2, logit

For 28×28×1 and 100 latents: generator 1,510,032 and discriminator 533,505 parameters.
"""

from __future__ import annotations

import math

from torch import nn

import genbench
from genbench.builtin.models import GANOptions


def build(image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: GANOptions) -> dict[str, nn.Module]:
    """Return the generator and the discriminator."""
    values, w = math.prod(image_shape), options.width
    generator = nn.Sequential(
        nn.Linear(latent_dim, w),
        nn.LeakyReLU(0.2),
        *_normalised(w, 2 * w),
        *_normalised(2 * w, 4 * w),
        *_normalised(4 * w, 8 * w),
        nn.Linear(8 * w, values),
        nn.Tanh(),
        nn.Unflatten(1, image_shape),
    )
    discriminator = nn.Sequential(
        nn.Flatten(),
        nn.Linear(values, 4 * w),
        nn.LeakyReLU(0.2),
        nn.Linear(4 * w, 2 * w),
        nn.LeakyReLU(0.2),
        nn.Linear(2 * w, 1),
    )
    return {"generator": generator, "discriminator": discriminator}


def _normalised(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.LeakyReLU(0.2)]
