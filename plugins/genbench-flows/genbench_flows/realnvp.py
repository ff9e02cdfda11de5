"""RealNVP for small images (Dinh et al. 2017, arXiv:1605.08803, sections 3.2 to 3.6), without normalisation.

Images of c × h × w, K couplings at each resolution:

    K couplings, checkerboard masks, alternately the one and the other half        c ×  h  ×  w
    if h and w are even: squeeze                                                  4c × h/2 × w/2
                         K couplings, channel-wise masks, alternately

    coupling  y = m x + (1-m)(x exp(s(mx)) + t(mx)), (s, t) from
              Conv k3, ReLU, Conv k1, ReLU, Conv k3; s = scale · tanh(·), one scale per channel

The paper adds weight and batch normalisation, more resolutions, and leaves half of the values out after each.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

import genbench
from genbench_flows import RealNVPOptions

_SMALL = 0.1  # scale of the initial weights in last layers, so that each coupling starts close to the identity


class Coupling(nn.Module):
    """An affine map of the values outside of a mask, whose scale and shift depend on those inside."""

    mask: Tensor

    def __init__(self, channels: int, width: int, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask, persistent=False)  # 1: unchanged
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, 1, 1),
            nn.ReLU(),
            nn.Conv2d(width, width, 1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * channels, 3, 1, 1),
        )
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))
        with torch.no_grad():
            self.body[-1].weight.mul_(_SMALL)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the changed images and log |det|, (B,)."""
        log_scale, shift = self._coefficients(images)
        return images * log_scale.exp() + shift, log_scale.flatten(1).sum(1)

    def inverse(self, images: Tensor) -> Tensor:
        """Return what `forward` maps to these images."""
        log_scale, shift = self._coefficients(images)
        return (images - shift) * (-log_scale).exp()

    def _coefficients(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return log scale and shift, 0 inside the mask; they depend on the values there, which do not change."""
        log_scale, shift = self.body(self.mask * images).float().chunk(2, 1)
        changed = 1 - self.mask
        return changed * self.scale * log_scale.tanh(), changed * shift


class Squeeze(nn.Module):
    """Blocks of 2 × 2 pixels become channels."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, 4c, h/2, w/2), and log |det| = 0."""
        return pixel_unshuffle(images, 2), images.new_zeros(len(images))

    def inverse(self, images: Tensor) -> Tensor:
        """Return (B, c, h, w)."""
        return pixel_shuffle(images, 2)


class RealNVP(nn.Module):
    """An invertible network: forward from images (B, c, h, w) to noise of the same shape, inverse the other way."""

    def __init__(self, image_shape: genbench.Shape, options: RealNVPOptions) -> None:
        super().__init__()
        channels, height, width = image_shape
        squares = (torch.arange(height)[:, None] + torch.arange(width)) % 2
        layers: list[nn.Module] = [
            Coupling(channels, options.width, ((squares + number) % 2).float()) for number in range(options.couplings)
        ]
        self.squeezed = height % 2 == width % 2 == 0
        if self.squeezed:
            halves = (torch.arange(4 * channels) < 2 * channels).long()[:, None, None]
            layers.append(Squeeze())
            layers += [
                Coupling(4 * channels, options.width, ((halves + number) % 2).float())
                for number in range(options.couplings)
            ]
        self.layers = nn.ModuleList(layers)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return noise in the shape of the images, and log |det ∂noise/∂images|, (B,)."""
        log_det = images.new_zeros(len(images))
        for layer in self.layers:
            images, change = layer(images)
            log_det = log_det + change
        return (pixel_shuffle(images, 2) if self.squeezed else images), log_det

    def inverse(self, noise: Tensor) -> Tensor:
        """Return the images that are mapped to this noise."""
        images = pixel_unshuffle(noise, 2) if self.squeezed else noise
        for layer in reversed(self.layers):
            images = layer.inverse(images)  # type: ignore[operator]  # of each layer above
        return images


def build(
    image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: RealNVPOptions
) -> Mapping[str, nn.Module]:
    """Return the network; its latents have the shape of the images, so `latent_dim` has no effect."""
    return {"flow": RealNVP(image_shape, options)}
