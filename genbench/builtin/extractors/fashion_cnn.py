"""The extractor `fashion-cnn`: penultimate features of a small convolutional classifier of Fashion-MNIST.

A classifier of the same data recognises clothes where a network trained on photographs sees texture, needs no download,
and runs in milliseconds. Its distance is named ``fd-fashion-cnn`` and never FID. ``scripts/train_fashion_cnn.py``
trained the weights on the 8,000 training images of fashion-mnist-mini alone; the shipped file, not the script's output
on another processor, defines the metric.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load as load_tensors
from torch import Tensor

from genbench import ExtractorUnavailable
from genbench.builtin.extractors.convolutional import FEATURES, ConvolutionalClassifier, prepare

SIZE = 28  # pixels, height and width of the network's input
CLASSES = 10
WEIGHTS = Path(__file__).parent / "data" / "fashion-cnn.safetensors"
WEIGHTS_SHA256 = "a2bb48bb6b039ec2c7e024c1b062300bd412846485ab2e2ea1038477ca524e64"  # printed by the script


class FashionClassifier(ConvolutionalClassifier):
    """(N, 1, 28, 28) in [0, 1] to (N, 10) logits; 352,042 parameters."""

    def __init__(self) -> None:
        super().__init__(channels=1, size=SIZE, classes=CLASSES)


def preprocess(pixels: Tensor) -> Tensor:
    """Convert uint8 (N, 1 or 3, height, width) to float (N, 1, 28, 28) in [0, 1]: to grey by luma, then resized."""
    return prepare(pixels, channels=1, size=SIZE)


class FashionCNN:
    """The loaded extractor; see `genbench.Classifier`."""

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

    def logits(self, features: Tensor) -> Tensor:
        """Return logits (N, 10) of features (N, 64)."""
        logits: Tensor = self.network.classifier(features.to(self.device))
        return logits


def load(device: torch.device) -> FashionCNN:
    """Return the extractor on `device`; raise `ExtractorUnavailable` where the shipped weights are damaged."""
    try:
        stored = WEIGHTS.read_bytes()
    except OSError as error:
        raise ExtractorUnavailable(f"{WEIGHTS} cannot be read ({error.strerror}): reinstall genbench.") from error
    sha256 = hashlib.sha256(stored).hexdigest()
    if sha256 != WEIGHTS_SHA256:
        raise ExtractorUnavailable(
            f"{WEIGHTS} has sha256 {sha256[:8]}… instead of {WEIGHTS_SHA256[:8]}…: it is damaged; reinstall genbench."
        )
    network = FashionClassifier()
    network.load_state_dict(load_tensors(stored))
    with safe_open(WEIGHTS, framework="pt") as file:
        facts = json.loads(file.metadata()["genbench"])
    return FashionCNN(network, device, sha256, float(facts["test_accuracy"]))
