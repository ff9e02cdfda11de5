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
from genbench.metrics.standard_errors import make_blocks

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
