"""The kernel distance against closed forms, the definition written out, invariances, and its own errors."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genbench.metrics.kernel_distance import gaussian, kernel_distance, polynomial
from genbench.metrics.standard_errors import Deletions, make_blocks, rows_outside

seeds = st.integers(0, 2**31)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blocks(n: int, count: int = 20, seed: int = 0) -> list[Tensor]:
    return make_blocks(n, torch.Generator().manual_seed(seed), count)


def distance(x: Tensor, y: Tensor, degree: int = 3) -> float:
    return kernel_distance(x, y, blocks(len(x)), functools.partial(polynomial, degree=degree))[0]


def written_out(x: np.ndarray, y: np.ndarray, degree: int = 3) -> float:
    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** degree

    m, n = len(x), len(y)
    own_x, own_y = kernel(x, x), kernel(y, y)
    of_x = (own_x.sum() - np.trace(own_x)) / (m * (m - 1))
    return of_x + (own_y.sum() - np.trace(own_y)) / (n * (n - 1)) - 2 * kernel(x, y).mean()


@given(seed=seeds, m=st.integers(3, 40), n=st.integers(2, 40), d=st.integers(1, 9), degree=st.integers(1, 3))
@settings(deadline=None, max_examples=40)
def test_blocks_agree_with_the_definition(seed: int, m: int, n: int, d: int, degree: int) -> None:
    x, y = normal(m, d, seed=seed), normal(n, d, seed=seed + 1) + 0.5
    assert distance(x, y, degree) == pytest.approx(written_out(x.numpy(), y.numpy(), degree), rel=1e-9, abs=1e-9)


def test_more_training_images_than_one_tile_holds() -> None:
    x, y = normal(30, 2), normal(2_500, 2, seed=1)
    assert distance(x, y) == pytest.approx(written_out(x.numpy(), y.numpy()), rel=1e-9)


def test_a_linear_kernel_sees_the_means_alone() -> None:
    """|Δmean|²/d, less what the variance of two means of finitely many images adds to it: exactly."""
    x, y = normal(50, 4), 2 * normal(70, 4, seed=1) + 1
    expected = ((x.mean(0) - y.mean(0)).square().sum() - x.var(0).sum() / 50 - y.var(0).sum() / 70) / 4
    assert distance(x, y, degree=1) == pytest.approx(float(expected), rel=1e-10)


def test_a_cubic_kernel_in_one_dimension_sees_three_moments() -> None:
    """Δm₃² + 3 Δm₂² + 3 Δm₁² of the raw moments; of so many images that the finite number hardly counts."""
    x, y = normal(6_000, 1) * 0.5, normal(6_000, 1, seed=1) * 0.5 + 1
    first, second, third = (float((y**p).mean() - (x**p).mean()) for p in (1, 2, 3))
    assert distance(x, y) == pytest.approx(third**2 + 3 * second**2 + 3 * first**2, rel=2e-3)


@given(seed=seeds)
@settings(deadline=None, max_examples=25)
def test_turning_both_sets_changes_nothing_and_the_sets_may_change_places(seed: int) -> None:
    x, y = normal(20, 5, seed=seed), normal(30, 5, seed=seed + 1)
    turn = torch.linalg.qr(normal(5, 5, seed=seed + 2)).Q
    assert distance(x @ turn, y @ turn) == pytest.approx(distance(x, y), rel=1e-9, abs=1e-10)
    assert distance(y, x) == pytest.approx(distance(x, y), rel=1e-9, abs=1e-10)


def test_between_equal_distributions_it_is_zero_on_average_and_often_below() -> None:
    found = [distance(normal(40, 3, seed=2 * s), normal(50, 3, seed=2 * s + 1)) for s in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found, ddof=1) / math.sqrt(200)
    assert 0.3 < np.mean(np.array(found) < 0) < 0.8


def test_deleting_blocks_from_the_sums_is_deleting_them_from_the_images() -> None:
    x, y = normal(37, 3), normal(20, 3, seed=1)
    deletions = Deletions(blocks(37, 6))
    replicates = [written_out(x[rows_outside(left, 37)].numpy(), y.numpy()) for left in deletions.rows]
    expected = deletions.standard_error(written_out(x.numpy(), y.numpy()), torch.tensor(replicates))
    assert kernel_distance(x, y, deletions.blocks)[1] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("shift", "low", "high"), [(0.3, 0.85, 1.15), (0.0, 0.85, 1.2)])
def test_standard_errors_cover_the_mean_over_draws(shift: float, low: float, high: float) -> None:
    """Of 200 draws beside the same training images."""
    y = normal(300, 4)
    found = [kernel_distance(normal(200, 4, seed=s + 1) + shift, y, blocks(200, seed=s)) for s in range(200)]
    values, errors = np.array([v for v, _ in found]), np.array([e for _, e in found])
    assert low < math.sqrt(np.mean(errors**2)) / values.std(ddof=1) < high
    assert np.mean(np.abs(values - values.mean()) < 2.09 * errors) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 200)


def test_single_images_make_no_pairs() -> None:
    with pytest.raises(ValueError, match="there are 1 and 5"):
        distance(normal(1, 2), normal(5, 2))
    assert kernel_distance(normal(2, 2), normal(5, 2), [])[1] is None


def test_with_a_gaussian_kernel_it_is_what_two_gaussians_have_in_closed_form() -> None:
    scale, other, shift, bandwidth, d = 1.0, 1.5, 0.8, 2.0, 3

    def expected(
        variance: float, distance: float
    ) -> float:  # E k of two draws whose difference is N(distance, variance)
        return (1 + variance / bandwidth**2) ** (-d / 2) * np.exp(-(d * distance**2) / 2 / (bandwidth**2 + variance))

    within = expected(2 * scale**2, 0) + expected(2 * other**2, 0)
    exact = within - 2 * expected(scale**2 + other**2, shift)
    x, y = scale * normal(3000, d, seed=1), other * normal(3000, d, seed=2) + shift
    found, error = kernel_distance(x, y, blocks(3000), functools.partial(gaussian, bandwidth=bandwidth))
    assert error is not None
    assert abs(found - exact) < 4 * error
    assert found == pytest.approx(exact, rel=0.1)
