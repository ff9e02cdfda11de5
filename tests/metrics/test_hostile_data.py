"""Data that no metric was made for: each has a finite value and error, or a reason; nothing raises or warns."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import pytest
import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.images import Images
from genbench.api.specs import ExtractorSpec
from genbench.metrics import kernel_distance, memorisation, prdc, sliced_wasserstein
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.feature_scores import (
    feature_likelihood,
    frechet_infinity,
    mean_discrepancy,
    per_class,
    rarity,
    spread,
    vendi,
)

D = 4
Found = list[Estimate | Unavailable]
METRICS = {
    one.__name__.rsplit(".", 1)[1]: one.measure
    for one in (
        *(feature_likelihood, frechet_infinity, mean_discrepancy, per_class, rarity, spread, vendi),
        *(kernel_distance, memorisation, prdc, sliced_wasserstein),
    )
}


class Pixels:
    name = "fd-pixels"
    protocol: Mapping[str, str | int | float | bool] = MappingProxyType({"layer": "none"})

    def __init__(self, whiten: bool, change: Callable[[Tensor], Tensor]) -> None:
        self.whiten, self._change = whiten, change

    def __call__(self, pixels: Tensor) -> Tensor:
        return self._change(pixels.flatten(1).float() / 255)


def same(features: Tensor) -> Tensor:
    return features


def noise(n: int, seed: int, classes: int = 2) -> Images:
    pixels = torch.randint(256, (n, 1, 2, 2), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    return Images(pixels, torch.arange(n) % classes)


def constant(n: int, level: int = 25) -> Images:
    return Images(torch.full((n, 1, 2, 2), level, dtype=torch.uint8), torch.arange(n) % 2)


def copies(n: int, seed: int) -> Images:
    """Three images, again and again, each in both classes."""
    pixels = torch.as_tensor(noise(3, seed).pixels).repeat(n // 3 + 1, 1, 1, 1)[:n]
    return Images(pixels, torch.arange(n) % 2)


def unlabelled(images: Images) -> Images:
    return Images(images.pixels)


def with_nan(features: Tensor) -> Tensor:
    return torch.where(features > 0.98, math.nan, features)


def one_feature_constant(features: Tensor) -> Tensor:
    return torch.cat([features[:, 1:], torch.full_like(features[:, :1], 0.1)], 1)


def all_zero(features: Tensor) -> Tensor:
    return torch.zeros_like(features)


def huge(features: Tensor) -> Tensor:
    return 1e18 * features


Sets = tuple[Images, Images, Images]  # samples, training and held-out images
SETS: dict[str, Sets] = {
    "ordinary": (noise(120, 1), noise(140, 2), noise(60, 3)),
    "constant samples": (constant(120), noise(140, 2), noise(60, 3)),
    "constant training images": (noise(120, 1), constant(140), noise(60, 3)),
    "constant held-out images": (noise(120, 1), noise(140, 2), constant(60)),
    "everything constant": (constant(120), constant(140), constant(60)),
    "one sample": (noise(1, 1), noise(140, 2), noise(60, 3)),
    "two samples": (noise(2, 1), noise(140, 2), noise(60, 3)),
    "one training image": (noise(120, 1), noise(1, 2), noise(60, 3)),
    "one held-out image": (noise(120, 1), noise(140, 2), noise(1, 3)),
    "two classes of three images": (noise(6, 1), noise(6, 2), noise(6, 3)),
    "no labels of samples": (unlabelled(noise(120, 1)), noise(140, 2), noise(60, 3)),
    "a class for each image": (noise(120, 1, 120), noise(140, 2, 140), noise(60, 3, 60)),
    "copies of samples": (copies(120, 1), noise(140, 2), noise(60, 3)),
    "copies of training images": (noise(120, 1), copies(140, 2), noise(60, 3)),
    "copies everywhere": (copies(120, 1), copies(140, 1), copies(60, 1)),
    "the training images": (noise(140, 2), noise(140, 2), noise(60, 3)),
}
FEATURES = {one.__name__: one for one in (with_nan, one_feature_constant, all_zero, huge)}


def measured(metric: str, sets: Sets, whiten: bool, change: Callable[[Tensor], Tensor] = same) -> Found:
    spec = ExtractorSpec(name="pixels", load=lambda device: Pixels(whiten, change))
    samples, train, test = sets
    evaluation = CellEvaluation(
        samples=samples, train=train, test=test, device=torch.device("cpu"), extractors={"pixels": spec}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = METRICS[metric](evaluation, "pixels")
    return list(found) if isinstance(found, Sequence) else [found]


def problems(found: Found) -> list[str]:
    wrong = []
    for one in found:
        if isinstance(one, Unavailable):
            wrong += [] if len(one.reason) > 20 and "raised" not in one.reason else [f"{one}"]
            continue
        numbers = [one.value, *(x for x in (one.standard_error, one.null, one.debiased) if x is not None)]
        if not all(map(math.isfinite, numbers)) or (one.standard_error or 0) < 0:
            wrong.append(f"{one.metric}: {numbers}")
    return wrong if found else ["nothing"]


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_has_a_finite_value_or_a_reason(metric: str, whiten: bool) -> None:
    wrong = {data: problems(measured(metric, sets, whiten)) for data, sets in SETS.items()}
    wrong |= {name: problems(measured(metric, SETS["ordinary"], whiten, one)) for name, one in FEATURES.items()}
    assert {name: found for name, found in wrong.items() if found} == {}


@pytest.mark.parametrize("metric", METRICS)
def test_no_metric_has_a_value_where_features_are_not_finite_or_training_images_do_not_vary(metric: str) -> None:
    for found in (
        measured(metric, SETS["ordinary"], False, with_nan),
        measured(metric, SETS["constant training images"], False),
    ):
        assert [one for one in found if isinstance(one, Estimate)] == []


def test_copies_within_a_class_leave_no_precision_or_recall() -> None:
    def reasons(data: str) -> dict[str, str]:
        found = measured("per_class", SETS[data], False)
        return {one.metric.split("-k5")[0]: one.reason for one in found if isinstance(one, Unavailable)}

    assert reasons("ordinary") == {}
    assert list(reasons("copies of training images")) == ["class-precision"]
    assert "70 of 70" not in reasons("copies of samples")["class-recall"]
    assert "60 of 60 samples of class 0 have 5 or more exact copies" in reasons("copies of samples")["class-recall"]


def test_samples_are_asked_for_only_where_the_training_images_suffice() -> None:
    for data, expected in (
        ("two classes of three images", "these classes have fewer training images: 0 (3), 1 (3)."),
        ("a class for each image", "these classes have fewer training images: 0 (1), 1 (1), 2 (1) and 137 more."),
        ("two samples", "these classes have fewer samples: 0 (1), 1 (1). Draw more samples."),
    ):
        for one in measured("per_class", SETS[data], False):
            assert isinstance(one, Unavailable)
            assert one.reason.endswith(expected)
