"""What a perfect generator scores, against simulation with real samples, and against theory where theory holds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genbench.api.evaluation import Statistics
from genbench.metrics.frechet import frechet_distance, statistics, whiten
from genbench.metrics.frechet_null import null_distance


def population(d: int) -> Statistics:
    """A Gaussian with variances over two decades, in no direction of its own."""
    rotation, _ = torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    scales = torch.logspace(0, -1, d, dtype=torch.float64)
    return Statistics(torch.ones(d, dtype=torch.float64), scales[:, None] * rotation, None)


def sample(gaussian: Statistics, n: int, rng: torch.Generator) -> Tensor:
    drawn = torch.randn(n, len(gaussian.factor), generator=rng, dtype=torch.float64)
    return drawn @ gaussian.factor + gaussian.mean


def theory(gaussian: Statistics, n: int) -> float:
    values = gaussian.factor.square().sum(1)
    trace = float(values.sum())
    pairs = float((values[:, None] * values / (values[:, None] + values)).sum())
    return trace / n + (pairs + trace / 2) / (2 * (n - 1))


@pytest.mark.parametrize("whitened", [False, True])
@pytest.mark.parametrize(("d", "n", "other"), [(8, 400, 600), (8, 12, 40), (8, 5, 40), (16, 60, None)])
def test_the_null_is_the_score_of_samples_of_the_same_gaussian(
    d: int, n: int, other: int | None, whitened: bool
) -> None:
    truth, rng, repeats, found = population(d), torch.Generator().manual_seed(0), 150, []
    for _ in range(repeats):
        images = sample(truth, n, rng)
        reference = truth if other is None else statistics(sample(truth, other, rng))
        if whitened:
            images, factor = whiten(reference)(images), torch.eye(d, dtype=torch.float64)
            reference = Statistics(torch.zeros(d, dtype=torch.float64), factor, other)
        found.append(frechet_distance(statistics(images), reference))
    scores = torch.tensor(found)
    known = Statistics(torch.zeros(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64), other)
    null = null_distance(known if whitened else Statistics(truth.mean, truth.factor, other), n, whitened=whitened)
    error = float(scores.std()) * (1 / repeats + 1 / 64) ** 0.5  # of the simulation, and of the null's own draws
    assert null == pytest.approx(float(scores.mean()), abs=4 * error)


@pytest.mark.parametrize("other", [None, 4000])
def test_for_many_images_the_null_agrees_with_the_expansion(other: int | None) -> None:
    truth = population(10)
    expected = theory(truth, 2000) + (theory(truth, other) if other else 0)
    found = null_distance(Statistics(truth.mean, truth.factor, other), 2000)
    assert found == pytest.approx(expected, rel=0.05)


def test_the_null_falls_with_more_images_and_is_deterministic() -> None:
    reference = Statistics(population(6).mean, population(6).factor, 500)
    nulls = [null_distance(reference, n) for n in (10, 100, 1000, 10_000)]
    assert nulls == sorted(nulls, reverse=True)  # type: ignore[type-var]
    assert nulls == [null_distance(reference, n) for n in (10, 100, 1000, 10_000)]


def test_a_constant_reference_has_a_null_of_zero_and_one_too_small_to_whiten_has_none() -> None:
    zero = torch.zeros(4, dtype=torch.float64)
    assert null_distance(Statistics(zero, torch.zeros(0, 4, dtype=torch.float64), 9), 5) == 0
    assert null_distance(Statistics(zero, torch.eye(4, dtype=torch.float64), 7), 100, whitened=True) is None


def test_a_model_that_is_the_data_scores_about_its_null() -> None:
    """Held-out images of the same distribution: the distance is noise around the null, the debiased one around less."""
    truth, rng = population(8), torch.Generator().manual_seed(3)
    reference = statistics(sample(truth, 2000, rng))
    scores = torch.tensor([frechet_distance(statistics(sample(truth, 300, rng)), reference) for _ in range(60)])
    assert null_distance(reference, 300) == pytest.approx(float(scores.mean()), rel=0.1)
