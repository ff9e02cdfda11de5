"""The shipped extractor: its file and accuracy are as stated, and its distance agrees with human judgement."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from genbench import ExtractorUnavailable, ImageData
from genbench.builtin.datasets import fashion_mnist_mini
from genbench.builtin.extractors import classification, fashion_cnn
from genbench.builtin.extractors.fashion_cnn import FashionCNN, preprocess
from genbench.features.extract import extract
from genbench.metrics.frechet import frechet_distance, statistics, whiten

CPU = torch.device("cpu")
SCRIPT = Path(__file__).parents[3] / "scripts" / "train_fashion_cnn.py"


@pytest.fixture(scope="module")
def data() -> ImageData:
    return fashion_mnist_mini.load(None, Path())


@pytest.fixture(scope="module")
def extractor() -> FashionCNN:
    return fashion_cnn.load(CPU)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("train_fashion_cnn", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def facts() -> dict[str, object]:
    with safe_open(fashion_cnn.WEIGHTS, framework="pt") as file:
        found: dict[str, object] = json.loads(file.metadata()["genbench"])
    return found


def noise(n: int, *shape: int) -> Tensor:
    return torch.randint(256, (n, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


# The file


def test_the_shipped_file_has_the_hash_in_the_code(extractor: FashionCNN) -> None:
    assert hashlib.sha256(fashion_cnn.WEIGHTS.read_bytes()).hexdigest() == fashion_cnn.WEIGHTS_SHA256
    assert fashion_cnn.WEIGHTS_SHA256.startswith(str(extractor.protocol["weights_sha256"]))


def test_accuracy_on_held_out_images_is_that_stated_in_the_file(extractor: FashionCNN, data: ImageData) -> None:
    with torch.inference_mode():
        predicted = extractor.network(preprocess(torch.as_tensor(data.test.pixels))).argmax(1)
    accuracy = float((predicted == torch.as_tensor(data.test.labels)).double().mean())
    assert accuracy == pytest.approx(extractor.protocol["test_accuracy"], abs=0.001)  # processors round differently
    assert accuracy > 0.88


def test_it_was_trained_on_the_shipped_images(script: ModuleType, data: ImageData) -> None:
    assert facts()["train_sha256"] == script.tensors(data.train)[2]
    assert facts()["recipe_version"] == script.RECIPE_VERSION


def test_parameters_are_counted(extractor: FashionCNN) -> None:
    assert sum(p.numel() for p in extractor.network.parameters()) == 352_042


def test_a_damaged_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "fashion-cnn.safetensors"
    monkeypatch.setattr(fashion_cnn, "WEIGHTS", damaged)
    with pytest.raises(ExtractorUnavailable, match="reinstall genbench"):
        fashion_cnn.load(CPU)
    damaged.write_bytes(b"\0" * 100)
    with pytest.raises(ExtractorUnavailable, match="damaged"):
        fashion_cnn.load(CPU)


@pytest.mark.slow
def test_training_is_reproducible_bit_for_bit_and_learns(script: ModuleType, data: ImageData) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images, labels, _ = script.tensors(data.train)
    try:
        first, second = (script.train(images[:1000], labels[:1000], epochs=2, seed=0) for _ in range(2))
    finally:
        torch.set_num_threads(threads)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    test_images, test_labels, _ = script.tensors(data.test)
    assert classification.accuracy(first, test_images.__getitem__, test_labels) > 0.5  # a tenth by chance


def test_augmentation_only_shifts_and_mirrors_images(script: ModuleType) -> None:
    images = torch.zeros(64, 1, 28, 28)
    images[:, :, 14, 14] = 1  # one bright pixel, off the axis of the mirror
    moved = classification.augment(images, script.RECIPE, torch.Generator().manual_seed(0))
    assert moved.shape == images.shape
    assert torch.equal(moved.sum((1, 2, 3)), torch.ones(64))
    rows, columns = moved[:, 0].nonzero()[:, 1:].T
    shift = script.RECIPE.shift
    assert set(rows.tolist()) == set(range(14 - shift, 15 + shift))
    assert set(columns.tolist()) == set(range(13 - shift, 15 + shift))


# What it takes


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28), (1, 32, 32), (3, 64, 64), (3, 20, 31)])
def test_any_size_and_one_or_three_channels_give_64_features(
    extractor: FashionCNN, shape: tuple[int, int, int]
) -> None:
    assert extractor(noise(2, *shape)).shape == (2, 64)


def test_published_images_are_unchanged_and_a_grey_image_in_rgb_is_grey() -> None:
    grey = noise(3, 1, 28, 28)
    assert torch.equal(preprocess(grey), grey.float() / 255)
    torch.testing.assert_close(preprocess(grey.expand(-1, 3, -1, -1)), grey.float() / 255)


def test_grey_is_luma() -> None:
    red, green, blue = (preprocess(torch.eye(3, dtype=torch.uint8).mul(255).view(3, 3, 1, 1))).mean((1, 2, 3)).tolist()
    assert (red, green, blue) == pytest.approx((0.299, 0.587, 0.114))


def test_enlarging_pixel_by_pixel_preserves_the_image(extractor: FashionCNN, data: ImageData) -> None:
    pixels = torch.as_tensor(data.test.pixels)[:50]
    enlarged = pixels.repeat_interleave(2, -1).repeat_interleave(2, -2)
    with torch.inference_mode():
        same = extractor.network(preprocess(enlarged)).argmax(1) == extractor.network(preprocess(pixels)).argmax(1)
    assert same.double().mean() >= 0.9


def test_two_channels_are_refused(extractor: FashionCNN) -> None:
    with pytest.raises(ValueError, match="2 channels"):
        extractor(noise(1, 2, 28, 28))


# What it sees


@pytest.fixture(scope="module")
def distance(extractor: FashionCNN, data: ImageData) -> Callable[[Tensor], float]:
    """The whitened Fréchet distance between images and the training images."""
    features = extract(extractor, torch.as_tensor(data.train.pixels), CPU, 250)
    transform = whiten(statistics(features))
    reference = statistics(transform(features))

    def measured(pixels: Tensor) -> float:
        return frechet_distance(statistics(transform(extract(extractor, pixels, CPU, 250))), reference)

    return measured


@pytest.fixture(scope="module")
def held_out(data: ImageData) -> Tensor:
    return torch.as_tensor(data.test.pixels)[:1000]


@pytest.mark.slow
def test_held_out_images_are_hardly_farther_than_training_images(
    distance: Callable[[Tensor], float], held_out: Tensor, data: ImageData
) -> None:
    """A thousand Gaussian samples of the reference itself score d/N + d(d+1)/(4(N-1)), here 1.1."""
    assert distance(torch.as_tensor(data.train.pixels)[:1000]) < 1.5
    assert distance(held_out) < 2
    assert distance(noise(1000, 1, 28, 28)) > 100


def test_the_distance_grows_with_noise(distance: Callable[[Tensor], float], held_out: Tensor) -> None:
    grain = torch.randn(held_out.shape, generator=torch.Generator().manual_seed(1))
    levels = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # standard deviations, of a range of 1
    ladder = [distance((held_out + 255 * s * grain).round().clamp(0, 255).to(torch.uint8)) for s in levels]
    assert all(lower < higher for lower, higher in pairwise(ladder)), ladder


def test_the_distance_grows_with_blur(distance: Callable[[Tensor], float], held_out: Tensor) -> None:
    def blurred(width: int) -> Tensor:
        mean = torch.nn.functional.avg_pool2d(held_out.float(), width, stride=1, padding=width // 2)
        return mean.round().to(torch.uint8)

    ladder = [distance(blurred(width)) for width in (1, 3, 5, 7)]
    assert all(lower < higher for lower, higher in pairwise(ladder)), ladder


def test_the_distance_grows_with_the_number_of_missing_classes(
    distance: Callable[[Tensor], float], data: ImageData
) -> None:
    test, labels = torch.as_tensor(data.test.pixels), torch.as_tensor(data.test.labels)
    ladder = [distance(test[labels < kept]) for kept in (10, 7, 4, 1)]
    assert all(lower < higher for lower, higher in pairwise(ladder)), ladder
