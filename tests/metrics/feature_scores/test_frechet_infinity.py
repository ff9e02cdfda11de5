"""The extrapolated Fréchet distance of Gaussians whose distance is known, its error, and its null."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from genbench.api.evaluation import Statistics
from genbench.metrics.feature_scores.frechet_infinity import infinite_distance, intercept
from genbench.metrics.frechet import frechet_distance, statistics
from genbench.metrics.frechet_null import null_distance
from genbench.metrics.standard_errors import make_blocks


def gaussian(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def standard(d: int) -> Statistics:
    return Statistics(torch.zeros(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64), None)


def test_a_line_meets_the_axis_at_its_intercept() -> None:
    assert intercept([1, 2, 3, 4], [5, 7, 9, 11]) == pytest.approx(3, rel=1e-12)
    assert intercept([1, 2, 3, 4], [1, 0, 0, 1]) == pytest.approx(0.5, rel=1e-12)


def test_it_has_a_small_part_of_the_bias_and_its_error_is_the_spread_over_draws() -> None:
    """N(μ, 1.2² I) and N(0, I) in 8 dimensions: the distance is 8 μ² + 8 · 0.2²."""
    d, n, mu = 8, 200, 0.2
    truth, draws = d * mu**2 + d * 0.04, 200
    found, plain = [], []
    for seed in range(draws):
        x = 1.2 * gaussian(n, d, seed) + mu
        found.append(infinite_distance(x, standard(d), make_blocks(n, torch.Generator().manual_seed(seed)), seed))
        plain.append(frechet_distance(statistics(x), standard(d)))
    values, errors = (torch.tensor(column, dtype=torch.float64) for column in zip(*found, strict=True))
    of_the_mean = float(values.std()) / math.sqrt(draws)
    bias = sum(plain) / draws - truth
    assert bias > 0.05
    assert abs(float(values.mean()) - truth) < max(0.15 * bias, 3 * of_the_mean)
    assert float(errors.mean()) == pytest.approx(float(values.std()), rel=0.15)
    covered = float(((values - truth).abs() < 2.09 * errors).double().mean())
    assert abs(covered - 0.95) < 3 * math.sqrt(0.95 * 0.05 / draws)


def test_the_order_of_the_images_is_part_of_the_division_only() -> None:
    x = gaussian(80, 3, 1) + 0.5
    value, _ = infinite_distance(x, standard(3))
    assert infinite_distance(x, standard(3)) == (value, None)
    other, _ = infinite_distance(x, standard(3), seed=1)
    assert other != value
    assert other == pytest.approx(value, rel=0.2)


@pytest.mark.parametrize("whitened", [False, True])
def test_the_null_is_what_infinitely_many_samples_of_a_perfect_generator_score(whitened: bool) -> None:
    """Of 120 training images from N(0, I) in 4 dimensions; whitened, the samples' Gaussian is seen through theirs."""
    d, m, truth = 4, 120, standard(4)
    found = []
    for seed in range(300):
        reference = statistics(gaussian(m, d, seed))
        if whitened:
            inverse = torch.linalg.pinv(reference.factor)
            seen = Statistics(-reference.mean @ inverse, inverse, None)
            found.append(frechet_distance(seen, standard(d)))
        else:
            found.append(frechet_distance(truth, reference))
    mean = sum(found) / len(found)
    error = float(torch.tensor(found).std()) / math.sqrt(len(found))
    reference = Statistics(truth.mean, truth.factor, m)
    nulls = [null_distance(reference, 10**9, seed, whitened) for seed in range(8)]
    assert all(null is not None for null in nulls)
    null = torch.tensor(nulls, dtype=torch.float64)
    assert abs(float(null.mean()) - mean) < 3 * math.hypot(error, float(null.std()) / math.sqrt(8))
