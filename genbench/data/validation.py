"""A validation split: settings are chosen without looking at the held-out images."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from genbench.errors import DataError
from genbench.seeds import derive_seed

if TYPE_CHECKING:
    from genbench.data.loading import LoadedData

SHARE = 10  # one of so many training images is a validation image
_FEWEST = 2 * SHARE  # training images: a metric needs two held-out ones


def validation_split(data: LoadedData) -> LoadedData:
    """Return the data with a random tenth of the training images in place of the held-out ones, which are dropped.

    Which images these are depends on their number only, so that all trials of all models use the same. Factors of
    variation are known for held-out images alone, and are dropped too. The hash is derived from that of the whole
    data. Raises `DataError` for fewer than 20 training images.
    """
    count = len(data.train_pixels)
    if count < _FEWEST:
        raise DataError(
            f"A validation split needs at least {_FEWEST} training images, but there are {count}.",
            "Use a larger dataset.",
            code="GB304",
        )
    generator = torch.Generator().manual_seed(derive_seed(count, "validation split"))
    order = torch.randperm(count, generator=generator)
    held_out, kept = (part.sort().values for part in (order[: count // SHARE], order[count // SHARE :]))
    labels = data.train_labels
    return replace(
        data,
        train_pixels=data.train_pixels[kept],
        train_labels=None if labels is None else labels[kept],
        test_pixels=data.train_pixels[held_out],
        test_labels=None if labels is None else labels[held_out],
        hash=hashlib.sha256(f"validation split of {data.hash}".encode()).hexdigest(),
        mapped=False,
        factors={},
    )
