"""Feature variance and effective rank against closed forms, and their jackknife."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from genbench.metrics.feature_scores.spread import spread
from genbench.metrics.standard_errors import make_blocks, standard_error_from_replicates


def gaussian(n: int, scales: Tensor, seed: int) -> Tensor:
    return torch.randn(n, len(scales), generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scales


def test_points_on_the_axes_have_the_variance_and_rank_of_the_axes() -> None:
    """±a along each axis: the covariance is diagonal."""
    sizes = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64)
    x = torch.cat([sizes.diag(), -sizes.diag()]) + 5
    p = sizes.square() / sizes.square().sum()
    found, error = spread(x)
    assert found.variance == pytest.approx(2 * 14 / 5)
    assert found.rank == pytest.approx(math.exp(-float((p * p.log()).sum())), rel=1e-12)
    assert error is None


def test_equal_spread_in_r_directions_has_rank_r_whatever_its_scale() -> None:
    rank, *_ = (spread(scale * torch.cat([torch.eye(9)[:4], -torch.eye(9)[:4]]).double())[0].rank for scale in (1, 50))
    assert rank == pytest.approx(4, rel=1e-9)


def test_features_that_do_not_vary_have_neither() -> None:
    assert spread(torch.ones(5, 3, dtype=torch.float64))[0] == (0.0, 0.0)


@pytest.mark.parametrize("d", [4, 60])  # fewer and more features than images
def test_the_jackknife_is_that_of_leaving_each_block_out(d: int) -> None:
    x = gaussian(41, torch.linspace(0.3, 2, d, dtype=torch.float64), 1)
    blocks = make_blocks(41, torch.Generator().manual_seed(0), 6)
    left = []
    for block in blocks:
        kept = torch.ones(41, dtype=torch.bool)
        kept[block] = False
        left.append(spread(x[kept])[0])
    _, error = spread(x, blocks)
    assert error is not None
    for found, column in zip(error, torch.tensor(left, dtype=torch.float64).T, strict=True):
        assert found == pytest.approx(standard_error_from_replicates(column), rel=1e-6)
