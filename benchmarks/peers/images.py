"""The images that all trainers train on, each in the form that it normally uses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate
from torch.utils.data import Dataset, Subset
from torchvision import datasets, transforms

from genbench.builtin.datasets import fashion_mnist_mini
from genbench.builtin.datasets.folder import choose_held_out

SIZE = 64
Transform = Callable[[Image.Image], Tensor]


def grey_images() -> Tensor:
    """Return the training images of `fashion-mnist-mini`, uint8 (8000, 1, 28, 28)."""
    return torch.as_tensor(fashion_mnist_mini.load(None, Path()).train[0])


def write_folder(root: Path, count: int) -> None:
    """Write `count` of these images as 64×64 RGB PNG files of one class."""
    images = grey_images()[:count].float()
    larger = interpolate(images, (SIZE, SIZE), mode="bilinear", antialias=True).round().to(torch.uint8)
    folder = root / "clothes"
    folder.mkdir(parents=True)
    for number, image in enumerate(larger[:, 0]):
        Image.fromarray(image.numpy()).convert("RGB").save(folder / f"{number:05}.png")


class GreyImages(Dataset[tuple[Tensor, int]]):
    """Images in memory that are converted to PIL and then to a tensor on each access, as in torchvision's MNIST."""

    def __init__(self, transform: Transform) -> None:
        self.pixels = grey_images()[:, 0]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index].numpy())), 0


def to_unit() -> Transform:
    """Return the transform to [0, 1]."""
    return transforms.ToTensor()


def to_symmetric(channels: int) -> Transform:
    """Return the transform to [-1, 1]."""
    half = (0.5,) * channels
    return transforms.Compose([transforms.ToTensor(), transforms.Normalize(half, half)])


def colour_images(root: Path) -> Dataset[Any]:
    """Return the images of the folder that genbench trains on, decoded on each access."""
    half = (0.5, 0.5, 0.5)
    steps = [
        transforms.Resize(SIZE),
        transforms.CenterCrop(SIZE),
        transforms.ToTensor(),
        transforms.Normalize(half, half),
    ]
    found = datasets.ImageFolder(str(root), transforms.Compose(steps))
    return Subset(found, [i for i, is_held_out in enumerate(choose_held_out(found.targets)) if not is_held_out])
