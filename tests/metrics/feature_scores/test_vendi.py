"""The Vendi score against closed forms, both Gram matrices, the authors' package, and its own error."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genbench.metrics.feature_scores.vendi import scores, vendi_score
from genbench.metrics.feature_sets import unit_length
from genbench.metrics.standard_errors import Deletions, make_blocks, rows_outside

ORDERS = (0.5, 1.0, 2.0, math.inf)


def directions(n: int, d: int, seed: int, shift: float = 0.0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return unit_length(torch.randn(n, d, generator=rng, dtype=torch.float64) + shift)


def values(features: Tensor) -> list[float]:
    return [one.value for one in scores(features, (), ORDERS)]


def test_orthogonal_samples_count_one_each_and_copies_count_once() -> None:
    eye = torch.eye(6, dtype=torch.float64)
    assert values(eye) == pytest.approx([6] * 4, rel=1e-12)
    assert values(eye.repeat(3, 1)) == pytest.approx([6] * 4, rel=1e-9)
    assert values(eye[:1].repeat(9, 1)) == pytest.approx([1] * 4, rel=1e-9)


def test_unequal_groups_of_copies_have_the_hill_numbers_of_their_shares() -> None:
    groups = torch.eye(3, dtype=torch.float64).repeat_interleave(torch.tensor([5, 3, 2]), 0)
    p = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    expected = [p.sqrt().sum() ** 2, (-(p * p.log()).sum()).exp(), 1 / p.square().sum(), 2.0]
    assert values(groups) == pytest.approx([float(one) for one in expected], rel=1e-12)


def test_order_two_is_one_over_the_mean_squared_cosine() -> None:
    x = directions(30, 7, 1, 0.3)
    assert values(x)[2] == pytest.approx(float(1 / (x @ x.T).square().mean()), rel=1e-12)


@given(seed=st.integers(0, 2**31), n=st.integers(2, 25), d=st.integers(2, 25))
@settings(deadline=None, max_examples=30)
def test_the_smaller_matrix_gives_the_score_of_the_matrix_of_cosines(seed: int, n: int, d: int) -> None:
    x = directions(n, d, seed)
    expected = [vendi_score(torch.linalg.eigvalsh(x @ x.T / n), order) for order in ORDERS]
    found = values(x)
    assert found == pytest.approx(expected, rel=1e-6)
    assert sorted(found, reverse=True) == pytest.approx(found)  # it falls with the order
    assert found[-1] >= 1 - 1e-9
    assert found[0] <= min(n, d) + 1e-6


def test_the_authors_package_gives_the_same_numbers() -> None:
    vendi = pytest.importorskip("vendi_score.vendi", reason="vendi-score is not installed")
    x = directions(40, 9, 3, 0.2)
    assert values(x)[1] == pytest.approx(vendi.score_dual(x.numpy(), normalize=True), rel=1e-9)
    assert values(x)[2] == pytest.approx(vendi.score_K((x @ x.T).numpy(), q=2), rel=1e-9)
    assert values(x)[3] == pytest.approx(vendi.score_K((x @ x.T).numpy(), q="inf"), rel=1e-9)


@pytest.mark.parametrize("d", [3, 50])  # fewer and more features than samples
def test_the_jackknife_is_that_of_leaving_blocks_and_pairs_of_them_out(d: int) -> None:
    x = directions(37, d, 4, 0.3)
    deletions = Deletions(make_blocks(37, torch.Generator().manual_seed(0), 6))
    for order, (value, error, _) in zip(ORDERS, scores(x, deletions.blocks, ORDERS), strict=True):
        left = []
        for rows in deletions.rows:
            kept = x[rows_outside(rows, 37)]
            left.append(vendi_score(torch.linalg.eigvalsh(kept @ kept.T / len(kept)), order))
        expected = deletions.standard_error(value, torch.tensor(left, dtype=torch.float64))
        assert error == pytest.approx(expected, rel=1e-5)


def test_the_error_of_order_infinity_is_marked_where_the_largest_eigenvalue_may_be_one_of_several() -> None:
    blocks = make_blocks(200, torch.Generator().manual_seed(0))
    for seed in range(5):
        alike, common = (scores(directions(200, 16, seed, shift), blocks, ORDERS) for shift in (0.0, 1.0))
        assert [one.conservative for one in alike] == [False, False, False, True]
        assert not any(one.conservative for one in common)
