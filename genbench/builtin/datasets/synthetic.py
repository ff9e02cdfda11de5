"""Noise in the form of a dataset, for measuring training speed only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from genbench import ImageData, Images

if TYPE_CHECKING:
    from genbench.builtin.datasets import SyntheticOptions

_SEED = 0
_CLASSES = 10


def load(options: SyntheticOptions, cache: Path) -> ImageData:
    """Return uniform uint8 noise with random labels, always the same; the last fifth (at least one) is held out.

    `cache` is not used.
    """
    rng = torch.Generator().manual_seed(_SEED)
    shape = (options.count, options.channels, options.size, options.size)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=rng)
    labels = torch.randint(0, _CLASSES, (options.count,), generator=rng)
    train_size = options.count - max(1, options.count // 5)
    return ImageData(
        train=Images(pixels[:train_size], labels[:train_size]),
        test=Images(pixels[train_size:], labels[train_size:]),
    )
