"""The validation split: no held-out image, no image on both sides, the same for everybody."""

from __future__ import annotations

import pytest
import torch

from genbench.data.loading import LoadedData
from genbench.data.validation import validation_split
from genbench.errors import DataError


def data(count: int) -> LoadedData:
    numbers = torch.arange(count)
    pixels = numbers.to(torch.uint8).reshape(count, 1, 1, 1)
    return LoadedData(
        pixels,
        numbers % 7,
        torch.full((5, 1, 1, 1), 255, dtype=torch.uint8),
        None,
        7,
        "hash",
        (),
        factors={"x": numbers[:5]},
    )


def test_a_tenth_of_the_training_images_replaces_the_held_out_ones() -> None:
    whole, split = data(200), validation_split(data(200))
    assert (len(split.train_pixels), len(split.test_pixels)) == (180, 20)
    both = torch.cat([split.train_pixels, split.test_pixels]).flatten()
    assert sorted(both.tolist()) == whole.train_pixels.flatten().tolist()  # each once, and none of the held-out ones
    assert split.test_labels is not None and split.train_labels is not None
    assert torch.equal(split.test_labels, split.test_pixels.flatten() % 7)
    assert torch.equal(split.train_labels, split.train_pixels.flatten() % 7)
    assert split.hash != whole.hash and not split.factors
    assert torch.equal(split.test_pixels, validation_split(data(200)).test_pixels)
    assert len({*(split.test_pixels.flatten() // 20).tolist()}) > 3  # not one stretch of the file


def test_too_few_images_are_refused() -> None:
    with pytest.raises(DataError, match="at least 20 training images, but there are 19"):
        validation_split(data(19))
