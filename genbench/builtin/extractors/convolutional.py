"""The small convolutional network behind `fashion-cnn` and `classifier`, and how images are made ready for it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 64
LUMA = (0.299, 0.587, 0.114)  # red, green, blue: ITU-R BT.601


class ConvolutionalClassifier(nn.Module):
    """A small VGG with batch normalisation: (N, channels, size, size) in [0, 1] to (N, classes) logits.

    The features are taken after a smooth activation: a ReLU leaves features that are zero on nearly every training
    image, and whitening by such a feature's tiny variance would make one odd sample dominate the distance. With
    `alive` they are normalised before it, so that none can become such a one.
    """

    def __init__(self, channels: int, size: int, classes: int, width: int = 32, alive: bool = False) -> None:
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
            *([nn.BatchNorm1d(FEATURES, affine=False)] if alive else []),
            nn.GELU(),
        )
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(FEATURES, classes))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) of images (N, channels, size, size) in [0, 1]."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def prepare(pixels: Tensor, channels: int, size: int) -> Tensor:
    """Return float (N, channels, size, size) in [0, 1] of uint8 (N, 1 or 3, height, width).

    Colour becomes grey by luma and grey is given three times, where the other is asked for; then images are resized.
    Those that already are as they should be pass through untouched. Raises ValueError for other numbers of channels.
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
