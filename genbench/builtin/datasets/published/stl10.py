"""STL-10 (Coates et al. 2011): 96×96 photographs, 100,000 unlabelled; 5,000 and 8,000 labelled, in ten classes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from genbench import DataError, ImageData, Images
from genbench.builtin.datasets.pixel_buffer import Array
from genbench.builtin.datasets.published.decode_images import decode
from genbench.builtin.datasets.published.files import Source, source, states
from genbench.builtin.datasets.published.torchvision_classes import torchvision_datasets
from genbench.builtin.download import Download

if TYPE_CHECKING:
    from genbench.builtin.datasets.published import STL10Options

CLASS_NAMES = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")

_FOLDER = "stl10_binary"
_FILES = {  # by split: images, labels
    "unlabeled": ("unlabeled_X.bin",),
    "train": ("train_X.bin", "train_y.bin"),
    "test": ("test_X.bin", "test_y.bin"),
}


def load(options: STL10Options, cache: Path) -> ImageData:
    """Return the chosen training split and the test images, resized from 96×96.

    Labels, of the test images too, are returned only for `train`. The files, up to 2.8 GB, are memory-mapped, not read
    through torchvision's class, which provides the checksums and the download. Raises `DataError` where they are
    damaged or unavailable.
    """
    STL10 = torchvision_datasets().STL10
    published = dict(STL10.train_list + STL10.test_list)
    place = _source(options, cache, {name: published[name] for name in _needed(options)})
    archive = Download([STL10.url], STL10.filename, STL10.tgz_md5)
    place.obtain([archive], lambda root: STL10(root, download=True))  # which finds the archive and extracts it
    place.verify()
    folder, labelled = place.root / _FOLDER, options.split == "train"
    parts = [_map(folder / _FILES[split][0]) for split in options.split.split("+")]
    return ImageData(
        train=Images(_resize(parts, options.size, cache), _labels(folder, "train") if labelled else None),
        test=Images(
            _resize([_map(folder / _FILES["test"][0])], options.size, cache),
            _labels(folder, "test") if labelled else None,
        ),
        class_names=CLASS_NAMES if labelled else (),
    )


def signature(options: STL10Options, cache: Path) -> str:
    """Return the state of the files; empty while they are missing."""
    place = _source(options, cache, {})
    return states(place.root / _FOLDER / name for name in _needed(options))


def _needed(options: STL10Options) -> list[str]:
    return [name for split in (*options.split.split("+"), "test") for name in _FILES[split]]


def _source(options: STL10Options, cache: Path, sums: dict[str, str]) -> Source:
    files = {f"{_FOLDER}/{name}": md5 for name, md5 in sums.items()}
    archive = "the extracted content of stl10_binary.tar.gz from https://cs.stanford.edu/~acoates/stl10"
    return source("STL-10", options.root, cache, files, archive, _FOLDER)


def _map(file: Path) -> Array:
    """Return the images of a file, (N, 96, 96, 3); the file order is image, channel, column, row."""
    size = file.stat().st_size
    if size == 0 or size % (3 * 96 * 96):
        raise DataError(f"{file} has {size} bytes, not a whole number of images.", "Download it again.")
    return np.memmap(file, dtype=np.uint8, mode="r").reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1)


def _resize(parts: list[Array], size: int, cache: Path) -> torch.Tensor:
    count = sum(map(len, parts))
    return torch.from_numpy(decode(itertools.chain(*parts), count, Image.fromarray, size, cache))


def _labels(folder: Path, split: str) -> torch.Tensor:
    return torch.from_numpy(np.fromfile(folder / _FILES[split][1], dtype=np.uint8).astype(np.int64) - 1)  # from 1 to 10
