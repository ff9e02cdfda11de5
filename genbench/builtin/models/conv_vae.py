"""Convolutional VAE on the InfoGAN networks, as compared with GANs by Lucic et al. 2018.

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
decay 0.999; here it is torch's default of 0.9, so that short trainings have statistics to sample with.
"""

from __future__ import annotations

from torch import Tensor, nn

import genbench
from genbench.builtin.models import ConvVAEOptions


class Encoder(nn.Module):
    """From images (B, c, size, size) to mean and log variance of q(z|x), (B, latent_dim) each."""

    def __init__(self, image_shape: genbench.Shape, latent_dim: int, width: int, hidden: int) -> None:
        super().__init__()
        channels, height, breadth = image_shape
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(2 * width * (height // 4) * (breadth // 4), hidden),
            nn.BatchNorm1d(hidden),
            nn.LeakyReLU(0.2),
        )
        self.mean = nn.Linear(hidden, latent_dim)
        self.log_variance = nn.Linear(hidden, latent_dim)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance."""
        hidden = self.body(images)
        return self.mean(hidden), self.log_variance(hidden)


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: ConvVAEOptions
) -> dict[str, nn.Module]:
    """Return the encoder and the decoder."""
    channels, height, breadth = image_shape
    width, hidden = options.width, options.hidden
    smallest = (2 * width, height // 4, breadth // 4)
    values = smallest[0] * smallest[1] * smallest[2]
    decoder = nn.Sequential(
        nn.Linear(latent_dim, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, values),
        nn.BatchNorm1d(values),
        nn.ReLU(),
        nn.Unflatten(1, smallest),
        nn.ConvTranspose2d(2 * width, width, 4, 2, 1),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.ConvTranspose2d(width, channels, 4, 2, 1),
    )
    return {"encoder": Encoder(image_shape, latent_dim, width, hidden), "decoder": decoder}
