"""CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images in ten classes, 32×32, colour."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genbench import ImageData, Images
from genbench.builtin.datasets.published.files import Source, source, states
from genbench.builtin.datasets.published.torchvision_classes import torchvision_datasets
from genbench.builtin.download import Download

if TYPE_CHECKING:
    from genbench.builtin.datasets.published import PublishedOptions

_FOLDER = "cifar-10-batches-py"
_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def load(options: PublishedOptions, cache: Path) -> ImageData:
    """Return both published splits; raise `DataError` where the files are damaged or unavailable.

    The files are pickles, which can execute code: torchvision reads them only after each was found to have the
    published checksum.
    """
    CIFAR10 = torchvision_datasets().CIFAR10
    meta = CIFAR10.meta
    place = _source(options, cache, {**dict(CIFAR10.train_list + CIFAR10.test_list), meta["filename"]: meta["md5"]})
    archive = Download([CIFAR10.url], CIFAR10.filename, CIFAR10.tgz_md5)
    place.obtain([archive], lambda root: CIFAR10(root, download=True))  # which finds the archive and extracts it
    place.verify()
    train, test = CIFAR10(place.root, train=True), CIFAR10(place.root, train=False)
    return ImageData(train=_images(train), test=_images(test), class_names=tuple(train.classes))


def signature(options: PublishedOptions, cache: Path) -> str:
    """Return the state of the files; empty while they are missing."""
    place = _source(options, cache, {})
    return states(place.root / _FOLDER / name for name in (*_BATCHES, "batches.meta"))


def _source(options: PublishedOptions, cache: Path, sums: dict[str, str]) -> Source:
    files = {f"{_FOLDER}/{name}": md5 for name, md5 in sums.items()}
    archive = "the extracted content of cifar-10-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html"
    return source("CIFAR-10", options.root, cache, files, archive, _FOLDER)


def _images(split: Any) -> Images:
    pixels = torch.from_numpy(split.data).permute(0, 3, 1, 2)  # torchvision keeps channels last
    return Images(pixels.contiguous(), torch.tensor(split.targets))
