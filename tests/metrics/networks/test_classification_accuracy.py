"""The classification accuracy score: what classifiers of easy images know, and the error of the mean accuracy."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.images import Images
from genbench.metrics.evaluation import CellEvaluation
from genbench.metrics.networks import classification_accuracy
from genbench.metrics.networks.classification_accuracy import accuracy_and_error, correct, measure


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classification_accuracy, "BUDGET", 1000)
    monkeypatch.setattr(classification_accuracy, "SEEDS", 2)
    monkeypatch.setattr(classification_accuracy, "WIDTH", 4)


def halves(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Noise whose left (class 3) or right half (class 7) is brighter."""
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randint(120, (n, 1, 8, 8), generator=rng, dtype=torch.uint8)
    right = torch.arange(n) % 2 == 1
    pixels[~right, :, :, :4] += 120
    pixels[right, :, :, 4:] += 120
    return pixels, torch.where(right, 7, 3)


def test_classifiers_of_good_samples_know_real_images_and_those_of_exchanged_labels_none() -> None:
    pixels, labels = halves(160, 1)
    held_out, truth = halves(60, 2)
    assert float(correct(pixels, labels, held_out, truth, 1).double().mean()) > 0.95
    assert float(correct(pixels, 10 - labels, held_out, truth, 1).double().mean()) < 0.05


def test_a_class_without_samples_is_never_right_and_seeds_repeat() -> None:
    pixels, labels = halves(160, 1)
    held_out, truth = halves(60, 2)
    truth[:10] = 5
    found = correct(pixels, labels, held_out, truth, 2)
    assert not bool(found[:, :10].any())
    assert torch.equal(found, correct(pixels, labels, held_out, truth, 2))


def test_the_error_covers_images_and_classifiers() -> None:
    """Of independent draws: p differs among classifiers with sd 0.1, and 200 images are right with probability p."""
    rng = torch.Generator().manual_seed(0)
    found = []
    for _ in range(400):
        p = (0.7 + 0.1 * torch.randn(3, 1, generator=rng)).clamp(0, 1)
        found.append(accuracy_and_error(torch.rand(3, 200, generator=rng) < p))
    values, errors = torch.tensor(found, dtype=torch.float64).T
    assert float(errors.square().mean().sqrt()) == pytest.approx(float(values.std()), rel=0.12)
    assert accuracy_and_error(torch.ones(3, 10, dtype=torch.bool)) == (1.0, 0.0)


def evaluation(samples: Images, train: Images | None = None) -> CellEvaluation:
    real = train or Images(*halves(200, 3))
    sets = {"samples": samples, "train": real, "test": Images(*halves(40, 4))}
    return CellEvaluation(**sets, device=torch.device("cpu"), extractors={})  # type: ignore[arg-type]


def test_the_images_that_classifiers_are_tested_on_are_no_samples() -> None:
    found = measure(evaluation(Images(*(one[:30] for one in halves(40, 4)))))
    assert isinstance(found, Unavailable)
    assert "the samples are held-out images" in found.reason


def test_the_null_is_what_training_images_reach() -> None:
    found = measure(evaluation(Images(*halves(160, 1))))
    assert isinstance(found, Estimate)
    assert found.null is not None
    assert min(found.value, found.null) > 0.7
    assert found.n == 160
    assert found.standard_error is not None
    assert math.isfinite(found.standard_error)


@pytest.mark.parametrize(
    ("samples", "train", "reason"),
    [
        (Images(halves(40, 1)[0]), None, "conditional model"),
        (Images(*halves(40, 1)), Images(halves(40, 1)[0]), "the dataset has no labels"),
        (Images(halves(40, 1)[0], torch.ones(40)), None, "at least two classes"),
        (Images(halves(40, 1)[0].expand(-1, 2, -1, -1), halves(40, 1)[1]), None, "1 or 3 channels; the images have 2"),
    ],
    ids=["unconditional", "unlabelled", "one class", "channels"],
)
def test_without_classes_there_is_a_reason(samples: Images, train: Images | None, reason: str) -> None:
    found = measure(evaluation(samples, train))
    assert isinstance(found, Unavailable)
    assert reason in found.reason
