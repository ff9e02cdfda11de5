"""The extractors `inception…`: the network that defines FID, with the weights of 2015-12-05 as pytorch-fid ships them.

Only the published weights give the name ``fid``, or with another resizing ``fid-…``; any others in the same network
give ``fd-inception-<hash>``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_eval

from genbench import ExtractorUnavailable
from genbench.builtin.extractors.inception_input import Preparation, as_clean_fid, as_pytorch_fid, as_tensorflow
from genbench.builtin.extractors.inception_network import InceptionNetwork
from genbench.builtin.extractors.inception_weights import URL, checked_sha256, find_weights, published

LAYERS = (64, 192, 768, 2048)  # features of the layers that pytorch-fid's --dims chooses between
_CPU_IMAGES = 25  # per pass on a CPU: more are no faster, and the first layers take 20 MB per image


@dataclass(frozen=True)
class Variant:
    """One way to prepare images for the network."""

    suffix: str  # of the metric's name
    prepare: Preparation
    resize: str  # for the protocol


STANDARD = Variant("", as_pytorch_fid, "299x299, bilinear without antialias, as pytorch-fid")
CLEAN = Variant("-clean", as_clean_fid, "299x299, bicubic with antialias in float, as clean-fid")
TENSORFLOW = Variant(
    "-legacy-tensorflow", as_tensorflow, "299x299, bilinear from corners without antialias, as TensorFlow 1"
)


class Inception:
    """The loaded extractor; see `genbench.Classifier`."""

    def __init__(
        self, network: torch.nn.Module, head: Tensor, device: torch.device, sha256: str, variant: Variant = STANDARD
    ) -> None:
        """Take the layers up to the final pooling, and the weights (1008, 2048) of the layer that follows."""
        name = f"fid{variant.suffix}" if published(sha256) else f"fd-inception{variant.suffix}-{sha256[:8]}"
        self.name = name
        self.published = published(sha256)
        self.whiten = False  # FID is defined on unwhitened features
        # channels_last is a quarter faster on a CPU, and its features agree to float rounding
        self.network = network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        self.head = head.to(device)
        self.device = device
        self.variant = variant
        self.protocol: Mapping[str, str | int | float | bool] = {
            "weights_sha256": sha256[:16],
            "layer": "final average pooling, 2048 features",
            "resize": variant.resize,
            "grey_repeated": True,  # a single channel is repeated three times
        }

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return features (N, 2048) of uint8 images (N, 1 or 3, height, width).

        Raises ValueError for other numbers of channels.
        """
        if pixels.shape[1] not in (1, 3):
            raise ValueError(f"images have {pixels.shape[1]} channels; Inception takes 1 (grey) or 3 (RGB).")
        return torch.cat([self._features(part) for part in self.parts(pixels)])

    def _features(self, pixels: Tensor) -> Tensor:
        images = self.variant.prepare(pixels).expand(-1, 3, -1, -1)
        features: Tensor = self.network(images.contiguous(memory_format=torch.channels_last))
        return features.flatten(1)

    def features_of_layers(self, inputs: Tensor, layers: Sequence[int]) -> Tensor:
        """Return the features of these `LAYERS`, joined to (N, sum of layers), of prepared images (N, C, H, W).

        The variant's own preparation is not used. Layers before the last are averaged over their positions.
        """
        found, images = {}, inputs.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        blocks: Any = self.network.blocks
        for layer, block in zip(LAYERS, blocks, strict=True):
            images = block(images)
            found[layer] = F.adaptive_avg_pool2d(images, 1).flatten(1)
        return torch.cat([found[layer] for layer in layers], 1)

    def parts(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return images on the device, in parts of as many as pass the network together."""
        size = _CPU_IMAGES if self.device.type == "cpu" else max(1, len(pixels))
        return torch.split(pixels.to(self.device), size)

    def logits(self, features: Tensor) -> Tensor:
        """Return the logits (N, 1008) of features (N, 2048), without the bias.

        The Inception score is defined this way: the graph of Salimans et al., 2016, omitted the bias.
        """
        return features.to(self.device, torch.float32) @ self.head.T


def load(device: torch.device) -> Inception:
    """Return the extractor on `device`; raise `ExtractorUnavailable` where its weights are missing."""
    return _load(device, STANDARD)


def load_clean(device: torch.device) -> Inception:
    """Return the extractor with clean-fid's resizing; raise `ExtractorUnavailable` as `load` does."""
    return _load(device, CLEAN)


def load_legacy_tensorflow(device: torch.device) -> Inception:
    """Return the extractor with TensorFlow 1's resizing; raise `ExtractorUnavailable` as `load` does."""
    return _load(device, TENSORFLOW)


def _load(device: torch.device, variant: Variant) -> Inception:
    path = find_weights()
    sha256 = checked_sha256(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        network, head = InceptionNetwork(state), state["fc.weight"]
    except Exception as error:  # unpickling a file that is no pickle can raise any exception
        first_line = str(error).partition("\n")[0] or type(error).__name__
        raise ExtractorUnavailable(
            f"{path} does not contain the Inception weights of pytorch-fid ({first_line}): replace it with {URL}"
        ) from error
    return Inception(fold_normalisation(network.eval()), head, device, sha256, variant)


def fold_normalisation(network: torch.nn.Module) -> torch.nn.Module:
    """Return the network, changed in place, with each batch norm folded into the convolution before it.

    In evaluation mode a batch norm is a fixed scale and shift per channel, which the convolution can absorb: the
    features agree to float rounding, and one pass over all activations is saved. Raises ValueError in training mode.
    """
    for module in network.modules():
        convolution, norm = getattr(module, "conv", None), getattr(module, "bn", None)
        if isinstance(convolution, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d):
            if norm.training:
                raise ValueError("a batch norm in training mode has no fixed scale and shift.")
            module.conv = fuse_conv_bn_eval(convolution, norm)
            module.bn = torch.nn.Identity()
    return network
