"""VAE with the networks of DCGAN: the counterpart of `dcgan` for a fair comparison of families.

The encoder is the discriminator of `dcgan` whose last convolution returns 2·latent_dim values (mean and log variance of
q(z|x)) instead of one logit; the decoder is the generator of `dcgan` without its tanh (logits). So the decoder has as
many parameters as the generator, and the encoder (2·latent_dim - 1)·k²·C more than the discriminator, with k × k the
last kernel and C the channels of the smallest maps. For 100 latents and c = 3 (encoder, decoder):

    size    parameters
     28     1,388,800     761,728
     32     1,478,400   1,068,928
     64     4,395,776   3,576,704
    128    14,424,832  12,786,560
"""

from __future__ import annotations

from torch import Tensor, nn

import genbench
from genbench.builtin.models.adversarial import DCGANOptions
from genbench.builtin.models.adversarial.dcgan import feature_layers, generator_layers, head, initialise


class Encoder(nn.Module):
    """From images (B, c, size, size) to mean and log variance of q(z|x), (B, latent_dim) each."""

    def __init__(self, latent_dim: int, channels: int, size: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *feature_layers(channels, size, width), head(size, width, 2 * latent_dim), nn.Flatten()
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance."""
        mean, log_variance = self.body(images).chunk(2, dim=1)
        return mean, log_variance


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: DCGANOptions
) -> dict[str, nn.Module]:
    """Return the encoder and the decoder."""
    channels, size, _ = image_shape
    decoder = nn.Sequential(*generator_layers(latent_dim, channels, size, options.width))
    return {
        "encoder": Encoder(latent_dim, channels, size, options.width).apply(initialise),
        "decoder": decoder.apply(initialise),
    }
