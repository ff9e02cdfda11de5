"""Distance and overlap within classes: closed forms, what they see and the others do not, and too few images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import pytest
import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.images import Images
from genbench.api.specs import ExtractorSpec
from genbench.metrics import frechet_distance
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.feature_scores import per_class
from genbench.metrics.frechet import frechet_distance as distance
from genbench.metrics.frechet import statistics


class Pixels:
    name = "fd-pixels"
    whiten = False
    protocol: Mapping[str, str | int | float | bool] = MappingProxyType({"layer": "none"})

    def __call__(self, pixels: Tensor) -> Tensor:
        return pixels.flatten(1).float() / 255


def of_class(label: int, n: int, seed: int) -> Tensor:
    """Three pixels, brighter in higher classes."""
    rng = torch.Generator().manual_seed(100 * label + seed)
    return torch.randint(60 * label, 60 * label + 40, (n, 1, 1, 3), generator=rng, dtype=torch.uint8)


def images(seed: int, n: int = 60, order: tuple[int, ...] = (0, 1, 2)) -> Images:
    """As many images of each class, labelled by their place in `order`."""
    pixels = torch.cat([of_class(label, n, seed) for label in order])
    return Images(pixels, torch.arange(len(order)).repeat_interleave(n))


def evaluation(samples: Images, train: Images) -> CellEvaluation:
    return CellEvaluation(
        samples=samples,
        train=train,
        test=train,
        device=torch.device("cpu"),
        extractors={"pixels": ExtractorSpec(name="pixels", load=lambda device: Pixels())},
    )


def measured(samples: Images, train: Images) -> dict[str, Estimate | Unavailable]:
    return {one.metric: one for one in per_class.measure(evaluation(samples, train), "pixels")}


def estimate(found: Estimate | Unavailable) -> Estimate:
    assert isinstance(found, Estimate), found
    return found


def test_it_is_the_mean_of_the_distances_of_the_classes_with_the_error_of_a_mean() -> None:
    samples, train = images(1), images(2)
    found = estimate(measured(samples, train)["class-fd-pixels"])
    parts = []
    for label in range(3):
        x, y = (torch.as_tensor(each.pixels)[torch.as_tensor(each.labels) == label] for each in (samples, train))
        parts.append(distance(*(statistics(one.flatten(1).double() / 255) for one in (x, y))))
    assert found.value == pytest.approx(sum(parts) / 3, rel=1e-6)
    assert found.n == 180
    assert found.standard_error is not None
    assert 0 < found.standard_error < found.value
    assert found.remark.startswith(f"class {parts.index(max(parts))} is farthest")


def test_a_perfect_conditional_generator_scores_the_null() -> None:
    found = [estimate(measured(images(2 * s + 1), images(2 * s + 2))["class-fd-pixels"]) for s in range(12)]
    values = torch.tensor([one.value for one in found])
    nulls = torch.tensor([one.null or math.nan for one in found])
    assert float(values.mean()) == pytest.approx(float(nulls.mean()), abs=4 * float(values.std()) / 12**0.5)


def test_exchanged_classes_are_seen_here_and_not_by_the_distance_of_all_samples() -> None:
    right, exchanged, train = images(1), images(1, order=(1, 0, 2)), images(2)
    overall = [frechet_distance.measure(evaluation(one, train), "pixels") for one in (right, exchanged)]
    assert estimate(overall[0]).value == pytest.approx(estimate(overall[1]).value, rel=1e-6)
    good, bad = measured(right, train), measured(exchanged, train)
    assert estimate(bad["class-fd-pixels"]).value > 20 * estimate(good["class-fd-pixels"]).value
    for which in ("precision", "recall"):
        assert estimate(bad[f"class-{which}-k5-n60-pixels"]).value == pytest.approx(1 / 3, abs=0.1)
        assert estimate(good[f"class-{which}-k5-n60-pixels"]).value > 0.8


def test_a_class_with_too_few_images_leaves_no_mean_over_the_others() -> None:
    few = images(1)
    kept = torch.ones(180, dtype=torch.bool)
    kept[:57] = False  # 3 of class 0
    found = measured(Images(torch.as_tensor(few.pixels)[kept], torch.as_tensor(few.labels)[kept]), images(2))
    assert all(isinstance(one, Unavailable) for one in found.values())
    reasons = {name: one.reason for name, one in found.items() if isinstance(one, Unavailable)}
    assert "in 3 features needs at least 4 images of each class" in reasons["class-fd-pixels"]
    assert "at least 50" in reasons["class-recall-pixels"]
    assert all("these classes have fewer samples: 0 (3). Draw more samples." in reason for reason in reasons.values())


def test_without_classes_there_is_a_reason() -> None:
    plain = Images(images(1).pixels)
    for samples, train, reason in (
        (plain, images(2), "it needs a conditional model"),
        (images(1), plain, "the training images have no labels"),
        (Images(images(1).pixels, torch.full((180,), 9)), images(2), "have the class 9"),
    ):
        (found,) = measured(samples, train).values()
        assert isinstance(found, Unavailable)
        assert reason in found.reason
