"""Kuzushiji-MNIST (Clanuwat et al. 2018): cursive Japanese characters, 28×28, grey; 60,000 training, 10,000 test."""

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
    return idx_family.load("KMNIST", torchvision_datasets().KMNIST, options.root, cache)


def signature(options: PublishedOptions, cache: Path) -> str:
    """Return the state of the files; empty while they are missing."""
    return idx_family.signature("KMNIST", options.root, cache)
