"""torchgan's DCGAN, conditional DCGAN and ACGAN.

With n = step_channels and k = log2(size) - 3 doublings of the channels:

    generator       latents → 4 × 4 with n·2ᵏ channels → … → size/2 with n → size, tanh; batch norm, LeakyReLU(0.2)
    discriminator   image → size/2 with n → … → 4 × 4 with n·2ᵏ → logit; LeakyReLU(0.2), batch norm (not in the first)

By default torchgan's discriminators end in a LeakyReLU, so what its losses take for a logit would hardly fall below
zero. Here they end in the logit. Nothing else differs from torchgan's defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torchgan.models import (
    ACGANDiscriminator,
    ACGANGenerator,
    ConditionalGANDiscriminator,
    ConditionalGANGenerator,
    DCGANDiscriminator,
    DCGANGenerator,
)

import genbench

if TYPE_CHECKING:
    from genbench_torchgan import NetworkOptions


class ConditionalGenerator(ConditionalGANGenerator):
    """torchgan's generator without copying labels to the CPU, which would be a device sync in every step."""

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return images of these classes."""
        return DCGANGenerator.forward(self, torch.cat([latents, self.label_embeddings(labels)], 1))


class ConditionalDiscriminator(ConditionalGANDiscriminator):
    """torchgan's discriminator without copying labels to the CPU."""

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return logits (B,) of images, given their claimed classes."""
        planes = self.label_embeddings(labels)[:, :, None, None].expand(-1, -1, *images.shape[2:])
        return DCGANDiscriminator.forward(self, torch.cat([images, planes], 1))


class AuxiliaryGenerator(ACGANGenerator):
    """torchgan's generator without copying labels to the CPU."""

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Return images of these classes."""
        return DCGANGenerator.forward(self, self.label_embeddings(labels) * latents)


class AuxiliaryDiscriminator(ACGANDiscriminator):
    """torchgan's discriminator, which predicts in one pass whether an image is real and which class it shows."""

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B,) and class logits (B, classes); `labels` is not used."""
        logits, classes = super().forward(images, mode="both")
        return logits, classes


def build_dcgan(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: NetworkOptions
) -> dict[str, nn.Module]:
    """Return the networks of `torchgan-dcgan`."""
    channels, size, _ = image_shape
    width, norm = options.step_channels, options.batchnorm
    return {
        "generator": DCGANGenerator(latent_dim, size, channels, width, norm),
        "discriminator": DCGANDiscriminator(size, channels, width, norm, last_nonlinearity=nn.Identity()),
    }


def build_conditional(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: NetworkOptions
) -> dict[str, nn.Module]:
    """Return the networks of `torchgan-cgan`."""
    channels, size, _ = image_shape
    width, norm, logit = options.step_channels, options.batchnorm, nn.Identity()
    return {
        "generator": ConditionalGenerator(num_classes, latent_dim, size, channels, width, norm),
        "discriminator": ConditionalDiscriminator(num_classes, size, channels, width, norm, last_nonlinearity=logit),
    }


def build_acgan(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: NetworkOptions
) -> dict[str, nn.Module]:
    """Return the networks of `torchgan-acgan`."""
    channels, size, _ = image_shape
    width, norm, logit = options.step_channels, options.batchnorm, nn.Identity()
    return {
        "generator": AuxiliaryGenerator(num_classes, latent_dim, size, channels, width, norm),
        "discriminator": AuxiliaryDiscriminator(num_classes, size, channels, width, norm, last_nonlinearity=logit),
    }
