"""The extractor `fashion-cnn`: penultimate features of a small convolutional classifier of Fashion-MNIST.

A classifier of the data at hand sees clothes where a network trained on photographs sees texture, needs no download,
and runs in milliseconds. Its distance is therefore named ``fd-fashion-cnn`` and never FID. The weights are made by
``scripts/train_fashion_cnn.py`` from the 8,000 training images of fashion-mnist-mini alone; the shipped file, and not
the script's output on another processor, defines the metric.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load as load_tensors
from torch import Tensor, nn
from torch.nn import functional as F

from genbench import ExtractorUnavailable

SIZE = 28  # pixels, height and width of what the network sees
FEATURES = 64
CLASSES = 10
WEIGHTS = Path(__file__).parent / "data" / "fashion-cnn.safetensors"
WEIGHTS_SHA256 = "a2bb48bb6b039ec2c7e024c1b062300bd412846485ab2e2ea1038477ca524e64"  # printed by the script
LUMA = (0.299, 0.587, 0.114)  # red, green, blue: ITU-R BT.601


class FashionClassifier(nn.Module):
    """A small VGG with batch normalisation: (N, 1, 28, 28) in [0, 1] to (N, 10) logits; 352,042 parameters.

    The features are taken after a smooth activation: a ReLU leaves features that are zero on nearly every training
    image, and whitening by such a feature's tiny variance would make one odd sample dominate the distance.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_convolution(1, 32),
            nn.MaxPool2d(2),  # (N, 32, 14, 14)
            *_convolution(32, 64),
            *_convolution(64, 64),
            nn.MaxPool2d(2),  # (N, 64, 7, 7)
            nn.Dropout(0.2),
            *_convolution(64, 128),
            *_convolution(128, 128),
            nn.MaxPool2d(2),  # (N, 128, 3, 3)
            nn.Flatten(),  # (N, 1152)
            nn.Dropout(0.4),
            nn.Linear(128 * 3 * 3, FEATURES),  # (N, 64)
            nn.GELU(),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(FEATURES, CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 10) of images (N, 1, 28, 28) in [0, 1]."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def preprocess(pixels: Tensor) -> Tensor:
    """Return float (N, 1, 28, 28) in [0, 1] of uint8 (N, 1 or 3, height, width): grey by luma, then resized.

    Images that are already grey or already 28×28 pass through that stage untouched. Raises ValueError for other
    numbers of channels.
    """
    images = pixels.float() / 255
    if images.shape[1] == 3:
        luma = torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)
        images = (images * luma).sum(1, keepdim=True)
    elif images.shape[1] != 1:
        raise ValueError(f"images have {images.shape[1]} channels; fashion-cnn takes 1 (grey) or 3 (red, green, blue).")
    if images.shape[-2:] != (SIZE, SIZE):
        images = F.interpolate(images, (SIZE, SIZE), mode="bilinear", align_corners=False, antialias=True)
    return images


class FashionCNN:
    """The loaded extractor; see `genbench.Extractor`."""

    def __init__(self, network: FashionClassifier, device: torch.device, sha256: str, test_accuracy: float) -> None:
        self.name = "fd-fashion-cnn"
        self.whiten = True  # a classifier's features have no natural scale
        self.network = network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
        self.device = device
        self.protocol: Mapping[str, str | int | float | bool] = {
            "weights_sha256": sha256[:16],
            "layer": f"penultimate, {FEATURES} features",
            "test_accuracy": test_accuracy,
            "grey": "3 channels become luma (ITU-R BT.601)",
            "resize": f"other sizes become {SIZE}x{SIZE}, bilinear with antialias",
        }

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return features (N, 64) of uint8 images (N, 1 or 3, height, width)."""
        features: Tensor = self.network.features(
            preprocess(pixels.to(self.device)).contiguous(memory_format=torch.channels_last)  # faster on a CPU
        )
        return features


def load(device: torch.device) -> FashionCNN:
    """Return the extractor on `device`; raise `ExtractorUnavailable` where the shipped weights are damaged."""
    try:
        stored = WEIGHTS.read_bytes()
    except OSError as error:
        raise ExtractorUnavailable(f"{WEIGHTS} cannot be read ({error.strerror}): install genbench again.") from error
    sha256 = hashlib.sha256(stored).hexdigest()
    if sha256 != WEIGHTS_SHA256:
        raise ExtractorUnavailable(
            f"{WEIGHTS} has sha256 {sha256[:8]}… and not {WEIGHTS_SHA256[:8]}…: it is damaged; install genbench again."
        )
    network = FashionClassifier()
    network.load_state_dict(load_tensors(stored))
    with safe_open(WEIGHTS, framework="pt") as file:
        facts = json.loads(file.metadata()["genbench"])
    return FashionCNN(network, device, sha256, float(facts["test_accuracy"]))


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.GELU(),
    ]
