"""MNIST (LeCun et al. 1998): 60,000 training and 10,000 test images of handwritten digits, 28×28, grey."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genbench import ImageData
from genbench.builtin.datasets.published import idx_family
from genbench.builtin.datasets.published.torchvision_classes import torchvision_datasets

if TYPE_CHECKING:
    from genbench.builtin.datasets.published import PublishedOptions


def load(options: PublishedOptions, cache: Path) -> ImageData:
    """Return both published splits; raise `DataError` where the files are damaged or unavailable."""
    return idx_family.load("MNIST", torchvision_datasets().MNIST, options.root, cache)


def signature(options: PublishedOptions, cache: Path) -> str:
    """Return the state of the files; empty while they are missing."""
    return idx_family.signature("MNIST", options.root, cache)
