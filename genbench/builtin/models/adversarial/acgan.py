"""AC-GAN (Odena et al. 2017) with the networks of `dcgan`: the discriminator also predicts the class of an image.

    generator      z concatenated with the one-hot label, through the generator of `dcgan`
    discriminator  the convolutions of `dcgan`; the last one returns 1 logit for real and K class logits

The family adds the cross-entropy of the class to both players' losses (their eq. 2 and 3). Compared with `dcgan`, with
a first kernel of k × k and C channels of the smallest maps, each network has K·k²·C more parameters. For 32×32×3, width
64 and 10 classes: generator 1,109,888 and discriminator 704,256 parameters.
"""

from __future__ import annotations

from torch import Tensor, nn

import genbench
from genbench.builtin.models.adversarial import DCGANOptions
from genbench.builtin.models.adversarial.dcgan import feature_layers, generator_layers, head, initialise
from genbench.builtin.models.labels import append_one_hot, require_classes


class Generator(nn.Module):
    """From latents (B, latent_dim) and labels (B,) to images (B, c, size, size) in [-1, 1]."""

    def __init__(self, latent_dim: int, num_classes: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.body = nn.Sequential(*generator_layers(latent_dim + num_classes, channels, size, width), nn.Tanh())

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return images."""
        images: Tensor = self.body(append_one_hot(latents, labels, self.num_classes))
        return images


class Discriminator(nn.Module):
    """From images (B, c, size, size) to logits (B,) and class logits (B, num_classes); the labels are ignored."""

    def __init__(self, num_classes: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *feature_layers(channels, size, width), head(size, width, 1 + num_classes), nn.Flatten()
        )

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and class logits."""
        outputs = self.body(images)
        return outputs[:, 0], outputs[:, 1:]


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: DCGANOptions
) -> dict[str, nn.Module]:
    """Return the generator and the discriminator."""
    require_classes("acgan", num_classes)
    channels, size, _ = image_shape
    return {
        "generator": Generator(latent_dim, num_classes, channels, size, options.width).apply(initialise),
        "discriminator": Discriminator(num_classes, channels, size, options.width).apply(initialise),
    }
