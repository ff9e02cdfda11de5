"""What extractors that are trained on a dataset share: cached weights, and 64 features of a small network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from genbench import ExtractorData
from genbench.builtin.extractors import weights_cache
from genbench.builtin.extractors.convolutional import prepare
from genbench.builtin.extractors.weights_cache import CachedWeights

SIZE = 32  # pixels, height and width of the network's input
WIDTH = 16  # channels of the first layer


class TrainedFeatures:
    """Features of a network, whitened: they have no natural scale. See `genbench.Extractor`."""

    def __init__(
        self,
        name: str,
        network: nn.Module,
        features: nn.Module,
        channels: int,
        protocol: Mapping[str, str | int | float | bool],
        device: torch.device,
    ) -> None:
        self.name = name
        self.whiten = True
        self.network = network
        self.features = features  # the layers of the network up to its features
        self.channels = channels
        self.device = device
        self.protocol: Mapping[str, str | int | float | bool] = {
            **protocol,
            "colour": "grey by luma (ITU-R BT.601)" if channels == 1 else "red, green, blue; grey is repeated",
            "resize": f"{SIZE}x{SIZE}, bilinear with antialias",
        }

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return features (N, 64) of uint8 images (N, 1 or 3, height, width)."""
        images = prepare(pixels.to(self.device), self.channels, SIZE)
        features: Tensor = self.features(images.contiguous(memory_format=torch.channels_last))
        return features


def ready(network: nn.Module, device: torch.device) -> nn.Module:
    """Return a network for computing features on a device."""
    return network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)


def trained_once(
    data: ExtractorData, recipe: list[str | int], train: Callable[[], tuple[nn.Module, Mapping[str, Any]]]
) -> CachedWeights:
    """Return the cached weights and facts for these data and this recipe; those that `train` returns if there are none.

    `recipe` is what the weights depend on beside the data.
    """
    key = json.dumps([data.hash, *recipe])
    path = data.cache / "extractors" / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.safetensors"
    cached = weights_cache.read(path)
    if cached is not None:
        return cached
    network, facts = train()
    return weights_cache.write(path, network.state_dict(), facts)
