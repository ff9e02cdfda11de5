"""Feature extraction: in order, in batches of equal size, however the images are batched."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genbench.errors import SpecError
from genbench.features.extract import extract, features_of

CPU = torch.device("cpu")


class Sums:
    """The sum of an image's pixels, and their number; records the sizes of its batches."""

    name = "fd-sums"
    whiten = False
    protocol: Mapping[str, str | int | float | bool] = MappingProxyType({})

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, pixels: Tensor) -> Tensor:
        assert torch.is_inference_mode_enabled()
        assert not torch.backends.cudnn.allow_tf32
        self.batches.append(len(pixels))
        flat = pixels.flatten(1).double()
        return torch.stack([flat.sum(1), torch.full_like(flat[:, 0], flat.shape[1])], 1)


def numbered(n: int, size: int = 2, first: int = 0) -> Tensor:
    """Images that differ in one pixel."""
    images = torch.zeros(n, 1, size, size, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(first, first + n) % 256
    return images


@given(parts=st.lists(st.integers(0, 9), min_size=1, max_size=8), batch_size=st.integers(1, 12))
@settings(deadline=None)
def test_images_are_collected_into_equal_batches_in_order(parts: list[int], batch_size: int) -> None:
    network, n = Sums(), sum(parts)
    found = list(features_of(network, numbered(n).split(parts), CPU, batch_size))
    assert [int(row[0]) for part in found for row in part] == list(range(n))
    assert network.batches == [batch_size] * -(-n // batch_size)
    assert all(part.dtype == torch.float32 and not part.is_inference() for part in found)


def test_images_of_another_shape_start_a_new_batch() -> None:
    network = Sums()
    batches = [numbered(3), numbered(2, first=3), numbered(1, size=3, first=5), numbered(4, first=6)]
    found = torch.cat(list(features_of(network, batches, CPU, 4)))
    assert found[:, 0].tolist() == list(range(10))
    assert found[:, 1].tolist() == [4] * 5 + [9] + [4] * 4
    assert network.batches == [4] * 4


def test_features_are_yielded_while_images_still_arrive() -> None:
    taken = []

    def arriving() -> object:
        for number in range(4):
            taken.append(number)
            yield numbered(2)

    first = next(features_of(Sums(), arriving(), CPU, 2))  # type: ignore[arg-type]
    assert (len(first), taken) == (2, [0])
    assert not torch.is_inference_mode_enabled()


def test_no_images_have_no_features() -> None:
    assert list(features_of(Sums(), [], CPU, 4)) == []
    with pytest.raises(ValueError, match="no images"):
        extract(Sums(), numbered(0), CPU, 4)


def test_an_error_in_the_shape_of_features_names_the_extractor() -> None:
    network = Sums()
    network.__class__ = type("Flat", (Sums,), {"__call__": lambda self, pixels: pixels.float().mean()[None]})
    with pytest.raises(SpecError, match=r"'fd-sums': __call__\(pixels\) returned features of shape \(4,\)"):
        extract(network, numbered(3), CPU, 4)
