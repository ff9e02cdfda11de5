"""Metrics of features on a device have the CPU's values; what depends on the training images alone is computed once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from other_device import OtherTensor, other_device
from torch import Tensor

import genbench
from genbench.features.placement import computed_on
from genbench.metrics import kernel_distance as kernel_distance_module
from genbench.metrics import prdc
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.frechet import statistics
from genbench.metrics.frechet_distance import distance_from
from genbench.metrics.kernel_distance import kernel_distance, mean_of_pairs
from genbench.metrics.manifolds import overlap
from genbench.metrics.measuring import measure
from genbench.metrics.standard_errors import make_blocks
from genbench.plugins.chosen_metrics import chosen_metrics
from genbench.plugins.worker_catalogue import load_catalogue

CPU = torch.device("cpu")


def features(count: int, seed: int) -> Tensor:
    return torch.randn(count, 24, generator=torch.Generator().manual_seed(seed)) * torch.linspace(0.2, 3, 24)


def test_metrics_of_features_have_the_values_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, train = features(700, 1) + 0.2, features(900, 2)
    samples[:3] = train[:3]  # copies, whose distances are ties
    blocks = make_blocks(700, torch.Generator().manual_seed(3))
    double = samples.double(), train.double()
    expected_kd = kernel_distance(*double, blocks)
    expected_overlap = overlap(double[1], double[0], blocks)
    reference = statistics(train)
    expected_fd = [distance_from(samples, reference, whitens, torch.Generator().manual_seed(4)) for whitens in (0, 1)]
    with other_device() as device:
        own = computed_on(device, mean_of_pairs, double[1])
        kd = computed_on(device, lambda x, y: kernel_distance(x, y, blocks, own_pairs=own), *double)
        found = computed_on(device, lambda x, y: overlap(x, y, blocks), double[1], double[0])
        fd = [distance_from(samples, reference, w, torch.Generator().manual_seed(4), device) for w in (0, 1)]
    assert kd == pytest.approx(expected_kd, rel=1e-9)
    assert found == expected_overlap
    for one, other in zip(fd, expected_fd, strict=True):
        assert one == pytest.approx(other, rel=1e-9)


def test_what_does_not_fit_on_the_device_is_computed_on_the_cpu() -> None:
    def compute(values: Tensor) -> str:
        if isinstance(values, OtherTensor):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "on the CPU"

    with other_device() as device:
        assert computed_on(device, compute, torch.ones(3)) == "on the CPU"


class Extractor:
    """Features are the pixels; it counts the images that it sees."""

    name, protocol, whiten = "fd-pixels", {"version": 1}, True

    def __call__(self, pixels: Tensor) -> Tensor:
        return pixels.flatten(1).float()


def test_what_depends_on_the_training_images_alone_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = torch.Generator().manual_seed(1)

    def images(count: int) -> genbench.Images:
        return genbench.Images(torch.randint(0, 256, (count, 1, 2, 3), dtype=torch.uint8, generator=rng))

    spec = genbench.ExtractorSpec(name="pixels", metric="fd-pixels", load=lambda device: Extractor(), summary="pixels")
    sizes: list[int] = []
    sums, balls = kernel_distance_module._sums_of_pairs, prdc.radii

    def counted_sums(x: Tensor, *rest: Any) -> Tensor:
        sizes.append(len(x))
        return sums(x, *rest)

    def counted_balls(real: Tensor) -> Tensor:
        sizes.append(-len(real))
        return balls(real)

    monkeypatch.setattr(kernel_distance_module, "_sums_of_pairs", counted_sums)
    monkeypatch.setattr(prdc, "radii", counted_balls)
    given = {"train": images(50), "test": images(9), "extractors": {"pixels": spec}, "device": CPU, "batch_size": 16}
    first = CellEvaluation(samples=images(40), **given)
    second = first.with_samples(images(40))
    values = [[kernel_distance_module.measure(it, "pixels"), *prdc.measure(it, "pixels")] for it in (first, second)]
    assert sorted(sizes) == [-40, 40, 40, 50]  # the training images once, as pairs and as balls
    fresh = CellEvaluation(samples=second.samples, **given)
    again = [kernel_distance_module.measure(fresh, "pixels"), *prdc.measure(fresh, "pixels")]
    assert again == values[1]


class Network:
    """A linear classifier whose weights are on a device."""

    name, protocol, whiten = "fd-network", {"version": 1}, True

    def __init__(self, device: torch.device) -> None:
        rng = torch.Generator().manual_seed(7)
        self._weights, self._classes = (torch.randn(shape, generator=rng).to(device) for shape in ((64, 8), (8, 10)))

    def __call__(self, pixels: Tensor) -> Tensor:
        assert pixels.device == self._weights.device
        return pixels.flatten(1).float() / 255 @ self._weights

    def logits(self, features: Tensor) -> Tensor:
        return features @ self._classes


def quarter(pixels: Tensor) -> Tensor:
    """The mode of an image: the brightest of four pixels."""
    return pixels[:, 0, 0, :4].argmax(1)


OF_IMAGES = ("reconstruction-mse", "psnr", "ssim", "diversity", "ms-ssim", "modes", "mode-kl", "mode-quality")
OF_FEATURES = ("fd", "kd", "sw", "prdc", "class-score", "class-balance", "memorisation")


def test_every_metric_of_images_and_features_has_the_values_of_the_cpu() -> None:
    rng = torch.Generator().manual_seed(1)

    def images(count: int) -> genbench.Images:
        labels = torch.randint(0, 10, (count,), generator=rng)
        return genbench.Images(torch.randint(0, 256, (count, 1, 8, 8), dtype=torch.uint8, generator=rng), labels)

    spec = genbench.ExtractorSpec(name="fashion-cnn", load=Network, classifies=True)
    catalogue = load_catalogue([])
    given: dict[str, Any] = {"samples": images(120), "train": images(150), "test": images(40), "mode_of": quarter}
    pairs = given["test"].pixels.float() / 255, torch.rand(40, 1, 8, 8, generator=rng)
    given |= {"reconstructions": pairs, "extractors": {"fashion-cnn": spec}, "batch_size": 32}
    names = [*OF_IMAGES, *(f"{name}-fashion-cnn" for name in OF_FEATURES)]

    def found(device: torch.device) -> dict[str, float | str]:
        evaluation = CellEvaluation(device=device, **given)
        estimates, unavailable = measure(chosen_metrics(names, catalogue), evaluation, False)
        assert not [one for one in unavailable if one.failed], unavailable
        return {one.metric: one.value for one in estimates} | {one.metric: one.reason for one in unavailable}

    expected = found(CPU)
    with other_device() as device:
        assert found(device) == {
            name: value if isinstance(value, str) else pytest.approx(value, rel=1e-6, abs=1e-9)
            for name, value in expected.items()
        }
    assert sum(isinstance(value, float) for value in expected.values()) > len(names)
