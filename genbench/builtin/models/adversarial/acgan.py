"""AC-GAN (Odena et al. 2017) on the networks of `dcgan`: the discriminator also says which class an image shows.

    generator      z and the label, one-hot, one behind the other, through the generator of `dcgan`
    discriminator  the convolutions of `dcgan`; the last one gives 1 logit of being real and K logits of the class

The family adds the cross-entropy of the class to both players' losses (their eq. 2 and 3). Against `dcgan`, with k × k
the first kernel and C channels of the smallest map, each network has K·k²·C parameters more. For 32×32×3, width 64 and
10 classes: generator 1,109,888 and discriminator 704,256 parameters.
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
    """From images (B, c, size, size) to logits (B,) and class logits (B, num_classes); the labels are not looked at."""

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
