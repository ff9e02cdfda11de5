"""diffusers' UNet2DModel in the layers of Ho et al. 2020, with the settings of google/ddpm-cifar10-32.

Attention at 14 or 16 pixels, channels as multiples of `width`: 1, 2, 2 for 28 pixels, 1, 2, 2, 2 for 32, 1, 1, 2, 2 for
64 and 1, 1, 2, 2, 2 for 128. Parameters: 35,746,307 for 32×32×3 at width 128.
"""

from __future__ import annotations

import math

from diffusers.models.unets.unet_2d import UNet2DModel
from torch import Tensor, nn

import genbench
from genbench_diffusers import UNetOptions

MULTIPLIERS = {28: (1, 2, 2), 32: (1, 2, 2, 2), 64: (1, 1, 2, 2), 128: (1, 1, 2, 2, 2)}
ATTENTION = (14, 16)


class Denoiser(nn.Module):
    """A UNet2DModel that returns a tensor."""

    def __init__(self, unet: UNet2DModel) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, images: Tensor, times: Tensor) -> Tensor:
        """Return what the network predicts, in the shape of images (B, …), at times (B,) in 0 … 999."""
        predicted: Tensor = self.unet(images, times, return_dict=False)[0]
        return predicted


def build(image_shape: genbench.Shape, latent_dim: int, num_classes: int, options: UNetOptions) -> dict[str, nn.Module]:
    """Return the network; `latent_dim` is not used: a latent has as many values as an image."""
    channels, size, _ = image_shape
    multipliers = MULTIPLIERS[size]
    attends = [size >> level in ATTENTION for level in range(len(multipliers))]
    unet = UNet2DModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=options.blocks,
        block_out_channels=tuple(factor * options.width for factor in multipliers),
        down_block_types=tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attends),
        up_block_types=tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attends)),
        norm_num_groups=math.gcd(32, max(1, options.width // 4)),
        norm_eps=1e-6,
        attention_head_dim=None,  # one head
        downsample_padding=0,  # one row and one column of zeros, at the end
        flip_sin_to_cos=False,
        freq_shift=1,
    )
    return {"unet": Denoiser(unet)}
