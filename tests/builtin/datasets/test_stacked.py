"""Stacked Fashion-MNIST: the content of the channels, and their classification."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from genbench import ImageData, Images
from genbench.builtin.datasets import fashion_mnist_mini
from genbench.builtin.datasets.generated import StackedOptions
from genbench.builtin.datasets.generated.stacked import combine, load, mode_of, stack

SOURCE = fashion_mnist_mini.load(None, Path("unused"))


def stacked(count: int = 500, seed: int = 0) -> ImageData:
    return load(StackedOptions(count=count, seed=seed), Path("unused"))


def rows(pixels: Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in pixels.reshape(-1, 28 * 28)}


def test_each_channel_is_an_image_of_the_same_split_and_the_label_is_its_three_digits() -> None:
    data = stacked()
    for split, source in ((data.train, SOURCE.train), (data.test, SOURCE.test)):
        pixels = torch.as_tensor(split.pixels)
        known = {
            image.numpy().tobytes(): int(label)
            for image, label in zip(torch.as_tensor(source.pixels), torch.as_tensor(source.labels), strict=True)
        }
        for image, label in zip(pixels[:50], torch.as_tensor(split.labels)[:50], strict=True):
            red, green, blue = (known[channel.numpy().tobytes()] for channel in image)
            assert int(label) == 100 * red + 10 * green + blue
    assert not rows(torch.as_tensor(data.test.pixels)) & rows(torch.as_tensor(SOURCE.train.pixels))


def test_mode_numbers_are_the_channels_classes_as_digits() -> None:
    assert combine(torch.tensor([[0, 0, 0], [9, 9, 9], [1, 2, 3]])).tolist() == [0, 999, 123]


def test_the_default_training_images_contain_all_thousand_modes() -> None:
    labels = torch.as_tensor(stack(SOURCE.train, 20_480, torch.Generator().manual_seed(0)).labels)
    counts = torch.bincount(labels, minlength=1000)
    assert int(counts.min()) > 0
    assert float(counts.double().std()) == pytest.approx(20.48**0.5, rel=0.15)  # as independent draws spread


def test_the_classifier_finds_all_three_labels_as_often_as_stated() -> None:
    data = stacked(5_000)
    pixels, labels = torch.as_tensor(data.test.pixels), torch.as_tensor(data.test.labels)
    found = mode_of(pixels)
    assert found.dtype == torch.int64
    assert float((found == labels).double().mean()) == pytest.approx(0.8965**3, abs=0.05)


def test_the_mode_of_an_image_does_not_depend_on_the_rest_of_the_batch() -> None:
    pixels = torch.as_tensor(stacked().train.pixels)[:40]
    found = mode_of(pixels)
    assert torch.equal(mode_of(pixels.flip(0)).flip(0), found)
    assert torch.equal(torch.cat([mode_of(image) for image in pixels[:5].split(1)]), found[:5])
    assert torch.equal(mode_of(pixels[:, [2, 1, 0]]) % 10, found // 100)  # blue becomes red


def test_a_seed_fixes_the_images_and_another_changes_them() -> None:
    first, again, other = (torch.as_tensor(stacked(10, seed).train.pixels) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_grey_images_of_the_source_are_not_changed() -> None:
    source = Images(torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 1, 28, 28), torch.arange(4))
    made = stack(source, 64, torch.Generator().manual_seed(0))
    assert torch.equal(torch.as_tensor(made.pixels).float().mean((2, 3)).long(), digits(torch.as_tensor(made.labels)))


def digits(modes: Tensor) -> Tensor:
    return torch.stack([modes // 100, modes // 10 % 10, modes % 10], dim=1)
