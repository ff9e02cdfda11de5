"""Convolutional VAE with the InfoGAN networks, as in the comparison with GANs by Lucic et al. 2018.

Width w = 64, hidden h = 1024, s = size / 4:

    encoder  Conv k4 s2   w × 2s × 2s   LeakyReLU 0.2
             Conv k4 s2  2w ×  s ×  s   batch norm, LeakyReLU 0.2
             dense        h             batch norm, LeakyReLU 0.2
             dense        (mean, log variance), 64 each
    decoder  dense        h             batch norm, ReLU
             dense       2w ×  s ×  s   batch norm, ReLU
             ConvT k4 s2  w × 2s × 2s   batch norm, ReLU
             ConvT k4 s2  c × 4s × 4s   logits

For 28×28×1 and 64 latents: encoder 6,689,344 and decoder 6,642,241 parameters. The paper's batch norm averages with
decay 0.999; here it is torch's default of 0.9, so that the statistics are usable after short training. `infogan-28` is
the GAN with the same networks.
"""

from __future__ import annotations

from torch import Tensor, nn

import genbench
from genbench.builtin.models.adversarial import InfoGANSizes
from genbench.builtin.models.adversarial.infogan import feature_layers, generator_layers


class Encoder(nn.Module):
    """From images (B, c, size, size) to mean and log variance of q(z|x), (B, latent_dim) each."""

    def __init__(self, image_shape: genbench.Shape, latent_dim: int, width: int, hidden: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*feature_layers(image_shape, width, hidden))
        self.mean = nn.Linear(hidden, latent_dim)
        self.log_variance = nn.Linear(hidden, latent_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance."""
        hidden = self.body(images)
        return self.mean(hidden), self.log_variance(hidden)


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: InfoGANSizes
) -> dict[str, nn.Module]:
    """Return the encoder and the decoder."""
    width, hidden = options.width, options.hidden
    decoder = nn.Sequential(*generator_layers(image_shape, latent_dim, width, hidden, nn.ReLU))
    return {"encoder": Encoder(image_shape, latent_dim, width, hidden), "decoder": decoder}
