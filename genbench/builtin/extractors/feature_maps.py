"""The maps of a frozen network, for networks that learn from features instead of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genbench import ExtractorUnavailable, GenbenchError
from genbench.builtin.extractors import fashion_cnn, inception
from genbench.builtin.extractors.convolutional import LUMA

FeatureNetwork = Literal["fashion-cnn", "inception"]

_INCEPTION_SIZE = 299  # pixels, height and width of the network's input


class FeatureMaps(nn.Module):
    """Images (B, 1 or 3, height, width) in [-1, 1] to the maps of a frozen network, the largest first.

    The maps are differentiable with respect to the images. The weights are buffers: no optimiser updates them, they are
    no parameters of the model, and they are stored with its weights. The network stays in evaluation mode.

    `channels` are those of the maps. The heights and widths of the maps are, for `fashion-cnn`, 1/2, 1/4 and 1/8 of the
    image's, which is not resized; for `inception`, which resizes images to 299 pixels, 73, 35, 17 and 8.
    """

    def __init__(self, stages: Sequence[nn.Module], channels: Sequence[int], colours: int, size: int | None) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.channels = tuple(channels)
        self.colours = colours  # channels of the network's input
        self.size = size
        _freeze(self.stages)
        self.eval()

    def train(self, mode: bool = True) -> FeatureMaps:
        """Stay in evaluation mode, whatever the mode of the model."""
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps (B, channels, h, w) of each stage."""
        values, found = self._prepared(images), []
        for stage in self.stages:
            values = stage(values)
            found.append(values)
        return found

    def _prepared(self, images: Tensor) -> Tensor:
        """Return images with the network's number of channels and size; the range is still [-1, 1]."""
        if images.shape[1] == 3 and self.colours == 1:
            images = (images * torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
        elif images.shape[1] == 1 and self.colours == 3:
            images = images.expand(-1, 3, -1, -1)
        if self.size is not None:
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", align_corners=False)
        return images if self.colours == 3 else (images + 1) / 2  # the classifier takes [0, 1]


def feature_maps(network: FeatureNetwork) -> FeatureMaps:
    """Return the maps of a network that genbench measures with: `fashion-cnn`, which it contains, or `inception`.

    Metrics in the features of the same network flatter a model that learns from them: measure it in others too.

    Raises `GenbenchError` where the weights of the network are missing (`inception`: name them with --weights).
    """
    try:
        if network == "fashion-cnn":
            layers = fashion_cnn.load(torch.device("cpu")).network.features
            pools = [index for index, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
            starts = [0, *(index + 1 for index in pools[:-1])]
            stages = [layers[start : pool + 1] for start, pool in zip(starts, pools, strict=True)]
            return FeatureMaps(stages, _channels(stages), 1, None)
        blocks: Any = inception.load(torch.device("cpu")).network.blocks
    except ExtractorUnavailable as error:
        raise GenbenchError(
            f"The features of '{network}' are missing: {error}", "Provide the weights, or choose other features."
        ) from error
    stages = [
        nn.Sequential(*(layer for layer in block if not isinstance(layer, nn.AdaptiveAvgPool2d))) for block in blocks
    ]
    return FeatureMaps(stages, inception.LAYERS, 3, _INCEPTION_SIZE)


def _channels(stages: Sequence[nn.Module]) -> list[int]:
    return [[layer.out_channels for layer in stage.modules() if isinstance(layer, nn.Conv2d)][-1] for stage in stages]


def _freeze(network: nn.Module) -> None:
    """Make the parameters of the network buffers, with the same names."""
    for module in network.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, parameter.detach().clone())
