"""The networks of the adversarial autoencoder (Makhzani et al. 2015): perceptrons of two hidden layers of 1,000 ReLU.

    encoder                 values of the image (+ classes) -> 1000 -> 1000 -> latent_dim
    decoder                 latent_dim (+ classes) -> 1000 -> 1000 -> logits of the values
    latent_discriminator    latent_dim (+ classes) -> 1000 -> 1000 -> 1

For 28×28×1 and 8 latents: encoder 1,794,008, decoder 1,794,784 and discriminator 1,011,001 parameters. The paper's
conditional variant (section 4) gives the label to the decoder alone; here all three networks receive it.
"""

from __future__ import annotations

import math

from torch import nn

import genbench
from genbench_autoencoders.adversarial import AAEOptions
from genbench_autoencoders.perceptron import Perceptron, require_classes


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: AAEOptions, classes: int = 0
) -> dict[str, nn.Module]:
    """Return encoder, decoder and discriminator."""
    widths = (options.hidden, options.hidden)
    return {
        "encoder": Perceptron(math.prod(image_shape), widths, (latent_dim,), classes),
        "decoder": Perceptron(latent_dim, widths, image_shape, classes),
        "latent_discriminator": Perceptron(latent_dim, widths, (1,), classes),
    }


def build_conditional(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: AAEOptions
) -> dict[str, nn.Module]:
    """Return the same networks, which receive labels."""
    require_classes("conditional-aae", num_classes)
    return build(image_shape, latent_dim, num_classes, options, classes=num_classes)
