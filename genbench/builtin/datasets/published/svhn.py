"""Street View House Numbers (Netzer et al. 2011): 73,257 training and 26,032 test images of digits, 32×32, colour."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from genbench import DataError, ImageData, Images
from genbench.builtin.datasets.published.files import Source, source, states
from genbench.builtin.datasets.published.torchvision_classes import torchvision_datasets
from genbench.builtin.download import Download

if TYPE_CHECKING:
    from genbench.builtin.datasets.published import PublishedOptions

_FILES = ("train_32x32.mat", "test_32x32.mat")


def load(options: PublishedOptions, cache: Path) -> ImageData:
    """Return the splits `train` and `test`, digit 0 as class 0; raise `DataError` where the files are unavailable."""
    SVHN = torchvision_datasets().SVHN
    lists = SVHN.split_list
    place = _source(options, cache, {lists[split][1]: lists[split][2] for split in ("train", "test")})
    place.obtain([Download(lists[split][:1], *lists[split][1:]) for split in ("train", "test")])
    place.verify()
    try:
        train, test = (_images(SVHN(place.root, split)) for split in ("train", "test"))
    except ImportError as error:
        raise DataError("SVHN's files are in MATLAB format.", "Install scipy to read them.") from error
    return ImageData(train=train, test=test, class_names=tuple("0123456789"))


def signature(options: PublishedOptions, cache: Path) -> str:
    """Return the state of the files; empty while they are missing."""
    place = _source(options, cache, {})
    return states(place.root / name for name in _FILES)


def _source(options: PublishedOptions, cache: Path, sums: dict[str, str]) -> Source:
    fetch = f"{' and '.join(_FILES)} from http://ufldl.stanford.edu/housenumbers"
    return source("SVHN", options.root, cache, sums, fetch)


def _images(split: Any) -> Images:
    return Images(torch.from_numpy(np.ascontiguousarray(split.data)), torch.from_numpy(split.labels))
