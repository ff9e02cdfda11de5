"""The small convolutional network of `fashion-cnn` and `classifier`, and the preparation of its input."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 64
LUMA = (0.299, 0.587, 0.114)  # red, green, blue: ITU-R BT.601


class ConvolutionalClassifier(nn.Module):
    """A small VGG with batch normalisation: (N, channels, size, size) in [0, 1] to (N, classes) logits.

    The features follow a smooth activation: after a ReLU some features are zero on nearly all training images, and
    whitening by such a tiny variance would let a single odd sample dominate the distance. With `normalised` they are
    batch-normalised before the activation, which prevents this.
    """

    def __init__(self, channels: int, size: int, classes: int, width: int = 32, normalised: bool = False) -> None:
        super().__init__()
        side = size // 8
        self.features = nn.Sequential(
            *_convolution(channels, width),
            nn.MaxPool2d(2),  # (N, width, size/2, size/2)
            *_convolution(width, 2 * width),
            *_convolution(2 * width, 2 * width),
            nn.MaxPool2d(2),  # (N, 2 width, size/4, size/4)
            nn.Dropout(0.2),
            *_convolution(2 * width, 4 * width),
            *_convolution(4 * width, 4 * width),
            nn.MaxPool2d(2),  # (N, 4 width, side, side)
            nn.Flatten(),  # (N, 4 width · side²)
            nn.Dropout(0.4),
            nn.Linear(4 * width * side * side, FEATURES),  # (N, 64)
            *([nn.BatchNorm1d(FEATURES, affine=False)] if normalised else []),
            nn.GELU(),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(FEATURES, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, channels, size, size) in [0, 1]."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def prepare(pixels: Tensor, channels: int, size: int) -> Tensor:
    """Convert uint8 (N, 1 or 3, height, width) to float (N, channels, size, size) in [0, 1].

    As `channels` requires, colour is converted to grey by luma, or grey is repeated three times; then images of another
    size are resized. Raises ValueError for other numbers of channels.
    """
    images = pixels.float() / 255
    given = images.shape[1]
    if given not in (1, 3):
        raise ValueError(f"images have {given} channels; this extractor takes 1 (grey) or 3 (red, green, blue).")
    if given == 3 and channels == 1:
        images = (images * torch.tensor(LUMA, device=images.device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    elif given == 1 and channels == 3:
        images = images.expand(-1, 3, -1, -1)
    if images.shape[-2:] != (size, size):
        images = F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)
    return images


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.GELU(),
    ]
