"""A thousand modes: three random Fashion-MNIST images as the channels of one image, after StackedMNIST.

StackedMNIST (Metz et al., Unrolled Generative Adversarial Networks, 2017) uses digits, and a digit classifier assigns
each sample to one of 1,000 modes; a mode counts as found with one sample. Here the classifier is the one that ships
with genbench (see `genbench.builtin.extractors.fashion_cnn`). Its accuracy is 94.3 % on the images of the training
split, on which it was trained, and 89.7 % on those of the held-out split; all three channels of a real image get their
labels in 84 % and 72 % of cases. It assigns a mode to every image, even to noise.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genbench import ImageData, Images
from genbench.builtin.datasets import fashion_mnist_mini
from genbench.builtin.extractors import fashion_cnn

if TYPE_CHECKING:
    from genbench.builtin.datasets.generated import StackedOptions

CHANNELS = 3
PLACES = (100, 10, 1)  # place values of the channels' classes in the mode number: red hundreds, blue units

_BATCH = 512  # channels that are classified at a time


def load(options: StackedOptions, cache: Path) -> ImageData:
    """Return the stacked images, labelled 100 r + 10 g + b by their channels' published classes.

    Held-out images are composed of held-out images only. `cache` is not used. Raises `DataError` where the package's
    files are damaged.
    """
    source = fashion_mnist_mini.load(None, cache)
    rng = torch.Generator().manual_seed(options.seed)
    held_out = options.count // 5
    return ImageData(
        train=stack(source.train, options.count - held_out, rng),
        test=stack(source.test, held_out, rng),
    )


def stack(source: Images, count: int, rng: torch.Generator) -> Images:
    """Return `count` images of three channels, each drawn with replacement from grey images with labels below 10."""
    pixels, labels = torch.as_tensor(source.pixels), torch.as_tensor(source.labels)
    chosen = torch.randint(len(pixels), (count, CHANNELS), generator=rng)
    return Images(pixels[chosen, 0], combine(labels[chosen]))


def combine(classes: Tensor) -> Tensor:
    """Return the mode, int64 (N,), of three channels' classes (N, 3)."""
    return (classes * torch.tensor(PLACES, device=classes.device)).sum(1)


def mode_of(pixels: Tensor) -> Tensor:
    """Return the mode of each uint8 image (N, 3, 28, 28) as int64 (N,), by classifying its channels on its device.

    Equal channels are classified once: the 20,480 training images are composed of 8,000. Raises `ExtractorUnavailable`
    where the classifier's file is damaged.
    """
    channels = pixels.flatten(0, 1)
    distinct, which = torch.unique(channels.flatten(1), dim=0, return_inverse=True)
    network = _classifier(pixels.device)
    classes = [
        network(fashion_cnn.preprocess(batch.unsqueeze(1)).contiguous(memory_format=torch.channels_last)).argmax(1)
        for batch in torch.split(distinct.unflatten(1, channels.shape[1:]), _BATCH)
    ]
    return combine(torch.cat(classes)[which].view(-1, CHANNELS))


@functools.cache
def _classifier(device: torch.device) -> fashion_cnn.FashionClassifier:
    return fashion_cnn.load(device).network
