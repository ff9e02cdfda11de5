"""Class score and class balance against closed forms, and their errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from genbench.api.evaluation import Estimate, Unavailable
from genbench.api.images import Images
from genbench.api.specs import ExtractorSpec
from genbench.metrics import class_balance, class_score
from genbench.metrics.class_balance import expected_total_variation, total_variation
from genbench.metrics.class_score import score_of_splits
from genbench.metrics.evaluation import CellEvaluation


class Classifier:
    """Its features are one-hot by the first pixel; it is very sure of itself."""

    name = "fd-classifier"
    whiten = True
    protocol: Mapping[str, str | int | float | bool] = MappingProxyType({"layer": "only"})

    def __init__(self, classes: int = 4, certainty: float = 1000.0) -> None:
        self.classes, self.certainty = classes, certainty

    def __call__(self, pixels: Tensor) -> Tensor:
        return F.one_hot(pixels[:, 0, 0, 0].long() % self.classes, self.classes).float()

    def logits(self, features: Tensor) -> Tensor:
        return self.certainty * features


class Extractor(Classifier):
    logits = None  # type: ignore[assignment]


def of_classes(*classes: int) -> Images:
    return Images(torch.tensor(classes, dtype=torch.uint8).view(-1, 1, 1, 1))


def evaluation(samples: Images, train: Images | None = None, network: Any = None, seed: int = 0) -> CellEvaluation:
    classifies = not isinstance(network, Extractor)
    spec = ExtractorSpec(name="classifier", load=lambda device: network or Classifier(), classifies=classifies)
    return CellEvaluation(
        samples=samples,
        train=train or of_classes(0, 1, 2, 3),
        test=of_classes(0),
        device=torch.device("cpu"),
        seed=seed,
        extractors={"classifier": spec},
    )


def score(given: CellEvaluation) -> Estimate:
    found = class_score.measure(given, "classifier")
    assert isinstance(found, Estimate), found
    return found


def balance(given: CellEvaluation) -> Estimate:
    found = class_balance.measure(given, "classifier")
    assert isinstance(found, Estimate), found
    return found


# Class score


def test_certain_balanced_predictions_score_the_number_of_classes_and_equal_ones_score_one() -> None:
    even = of_classes(*[0, 1, 2, 3] * 10)
    assert score(evaluation(even)).value == pytest.approx(4, rel=1e-12)
    assert score(evaluation(of_classes(*[2] * 40))).value == 1
    assert score(evaluation(even, network=Classifier(certainty=0))).value == pytest.approx(1, abs=1e-12)


def test_uneven_classes_count_as_their_entropy() -> None:
    found = score(evaluation(of_classes(*[0] * 30, *[1] * 10)))
    assert found.value == pytest.approx(math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25)), rel=1e-12)
    assert (found.metric, found.n, found.direction) == ("class-score-classifier", 40, "higher")
    assert found.protocol == {"layer": "only", "classes": 4, "splits": 1}


@given(seed=st.integers(0, 2**31), n=st.integers(1, 30), classes=st.integers(2, 8))
@settings(deadline=None, max_examples=40)
def test_it_is_the_exponential_of_a_mean_divergence_within_one_and_the_classes(seed: int, n: int, classes: int) -> None:
    logits = 3 * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    p = logits.softmax(1).numpy()
    expected = math.exp((p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean())
    found = class_score.class_score(logits)
    assert found == pytest.approx(expected, rel=1e-9)
    assert 1 <= found <= classes


def test_splits_have_lower_scores_and_their_deviation() -> None:
    logits = 1000 * F.one_hot(torch.arange(40) % 4).double()
    assert score_of_splits(logits, 10) == pytest.approx((4, 0), abs=1e-12)  # four in each split, one of each class
    mean, deviation = score_of_splits(logits.roll(1, 0)[:6], 2)  # classes 3 0 1 | 2 3 0
    assert (mean, deviation) == pytest.approx((3, 0), abs=1e-12)
    mean, deviation = score_of_splits(logits[[0, 0, 0, 1]], 2)  # 1 and 2
    assert (mean, deviation) == pytest.approx((1.5, 0.5), abs=1e-12)


def test_the_errors_of_the_class_score_are_the_spread_over_draws() -> None:
    found = []
    for seed in range(200):
        rng = torch.Generator().manual_seed(seed)
        drawn = torch.multinomial(torch.tensor([0.6, 0.2, 0.15, 0.05]), 150, True, generator=rng)
        found.append(score(evaluation(of_classes(*drawn.tolist()), network=Classifier(certainty=2.0), seed=seed)))
    values, errors = np.array([e.value for e in found]), np.array([e.standard_error for e in found])
    assert math.sqrt(np.mean(errors**2)) == pytest.approx(values.std(ddof=1), rel=0.15)
    assert np.mean(np.abs(values - values.mean()) < 2.09 * errors) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 200)


# Class balance


def test_equal_shares_are_at_no_distance_and_one_class_of_four_at_three_quarters() -> None:
    train = of_classes(*[0, 1, 2, 3] * 5)
    assert balance(evaluation(of_classes(*[3, 2, 1, 0] * 7), train)).value == 0
    assert balance(evaluation(of_classes(*[2] * 9), train)).value == pytest.approx(0.75, rel=1e-12)
    assert balance(evaluation(of_classes(0, 0), of_classes(1, 1))).value == 1
    found = balance(evaluation(of_classes(0, 0, 0, 1), of_classes(0, 1, 1, 1)))
    assert found.value == pytest.approx(0.5, rel=1e-12)
    assert (found.metric, found.n, found.direction) == ("class-balance-classifier", 4, "lower")


@pytest.mark.parametrize("q", [0.5, 0.3, 0.01])
@pytest.mark.parametrize("n", [1, 7, 100])
def test_chance_alone_makes_the_deviation_of_a_binomial(q: float, n: int) -> None:
    probability = [math.comb(n, x) * q**x * (1 - q) ** (n - x) for x in range(n + 1)]
    expected = sum(p * abs(x / n - q) for x, p in enumerate(probability))
    assert expected_total_variation(torch.tensor([q, 1 - q]).double(), n) == pytest.approx(expected, rel=1e-6)


def test_null_is_what_a_perfect_generator_scores_on_average() -> None:
    shares, n = torch.tensor([0.5, 0.3, 0.15, 0.05, 0.0]).double(), 60
    rng = torch.Generator().manual_seed(0)
    draws = torch.multinomial(shares, 4_000 * n, True, generator=rng).view(4_000, n)
    found = np.array([total_variation(torch.bincount(draw, minlength=5), shares) for draw in draws])
    assert abs(found.mean() - expected_total_variation(shares, n)) < 3 * found.std() / math.sqrt(4_000)
    train = of_classes(*[0] * 50, *[1] * 30, *[2] * 15, *[3] * 5)
    null = balance(evaluation(of_classes(*[0] * n), train)).null
    assert null == pytest.approx(expected_total_variation(shares, n), rel=1e-6)


def test_the_errors_of_the_class_balance_are_the_spread_over_draws() -> None:
    found, rng = [], torch.Generator().manual_seed(0)
    for seed in range(200):
        drawn = torch.multinomial(torch.tensor([0.6, 0.2, 0.15, 0.05]), 150, True, generator=rng)
        found.append(balance(evaluation(of_classes(*drawn.tolist()), seed=seed)))
    values, errors = np.array([e.value for e in found]), np.array([e.standard_error for e in found])
    assert math.sqrt(np.mean(errors**2)) == pytest.approx(values.std(ddof=1), rel=0.15)


# Nothing to say


@pytest.mark.parametrize("measure", [class_score.measure, class_balance.measure])
def test_without_classes_or_samples_there_is_a_reason_instead_of_a_value(measure: Any) -> None:
    name = measure.__module__.rpartition(".")[2].replace("_", "-") + "-classifier"
    none = measure(evaluation(of_classes()), "classifier")
    blind = measure(evaluation(of_classes(0, 1), network=Extractor()), "classifier")
    broken = measure(evaluation(of_classes(0, 1), network=Classifier(certainty=math.inf)), "classifier")
    for found, reason in ((none, "samples"), (blind, "is no classifier"), (broken, "not finite")):
        assert isinstance(found, Unavailable)
        assert found.metric == name
        assert reason in found.reason
