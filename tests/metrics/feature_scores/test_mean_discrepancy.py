"""The distance behind CMMD against its published definition, closed forms, and its own error, bias and null."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genbench.metrics.feature_scores.mean_discrepancy import BANDWIDTH, SCALE, discrepancy
from genbench.metrics.feature_sets import unit_length
from genbench.metrics.standard_errors import Deletions, make_blocks, rows_outside
from genbench.plugins.metric_names import with_extractor


def directions(n: int, d: int, seed: int, shift: float = 0.0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return unit_length(torch.randn(n, d, generator=rng, dtype=torch.float64) + shift)


def as_published(x: Tensor, y: Tensor, own: bool = True) -> float:
    """The definition of Jayasumana et al.; without the pairs of an image with itself it is unbiased."""

    def mean(a: Tensor, b: Tensor, same: bool) -> float:
        kernel = torch.exp(-(a[:, None] - b[None]).square().sum(2) / (2 * BANDWIDTH**2))
        if own or not same:
            return float(kernel.mean())
        return float((kernel.sum() - kernel.trace()) / (len(a) * (len(a) - 1)))

    return SCALE * (mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False))


@given(seed=st.integers(0, 2**31), m=st.integers(2, 30), n=st.integers(2, 30), d=st.integers(2, 9))
@settings(deadline=None, max_examples=30)
def test_both_estimators_are_the_definitions_written_out(seed: int, m: int, n: int, d: int) -> None:
    x, y = directions(m, d, seed), directions(n, d, seed + 1, 0.5)
    found = discrepancy(x, y)
    assert found.biased == pytest.approx(as_published(x, y), rel=1e-9, abs=1e-9)
    assert found.unbiased == pytest.approx(as_published(x, y, own=False), rel=1e-9, abs=1e-9)
    assert found.biased >= -1e-9  # a squared distance of means in the space of the kernel


def test_two_opposite_points_have_the_distance_of_their_kernel() -> None:
    up = torch.tensor([[0.0, 1.0]], dtype=torch.float64).expand(5, 2)
    expected = 2 * SCALE * (1 - math.exp(-4 / (2 * BANDWIDTH**2)))
    found = discrepancy(up, -up)
    assert found.biased == pytest.approx(expected, rel=1e-12)
    assert found.unbiased == pytest.approx(expected, rel=1e-12)  # no spread within a set: no bias


def test_of_unit_vectors_it_is_almost_ten_times_the_squared_distance_of_the_means() -> None:
    x, y = directions(300, 16, 1), directions(300, 16, 2, 0.4)
    means = float((x.mean(0) - y.mean(0)).square().sum())
    assert discrepancy(x, y).biased == pytest.approx(10 * means, rel=0.02)


def test_a_perfect_generator_has_the_null_on_average_and_zero_without_bias() -> None:
    found = [discrepancy(directions(40, 4, 2 * seed), directions(60, 4, 2 * seed + 1)) for seed in range(300)]
    biased, unbiased, _, null = (np.array(column) for column in zip(*found, strict=True))
    assert abs((biased - null).mean()) < 3 * (biased - null).std() / math.sqrt(300)
    assert abs(unbiased.mean()) < 3 * unbiased.std() / math.sqrt(300)
    assert biased.mean() > 0.2 > unbiased.mean()


def test_the_jackknife_is_that_of_leaving_blocks_and_pairs_of_them_out() -> None:
    x, y = directions(37, 3, 1), directions(20, 3, 2, 0.4)
    deletions = Deletions(make_blocks(37, torch.Generator().manual_seed(0), 6))
    left = [as_published(x[rows_outside(rows, 37)], y, own=False) for rows in deletions.rows]
    expected = deletions.standard_error(as_published(x, y, own=False), torch.tensor(left, dtype=torch.float64))
    assert discrepancy(x, y, deletions.blocks).standard_error == pytest.approx(expected, rel=1e-8)


def test_a_feature_of_length_0_has_no_direction() -> None:
    with pytest.raises(ValueError, match="features of 2 images are all 0"):
        unit_length(torch.tensor([[0.0, 0], [1, 0], [0, 0]]))


def test_only_the_network_of_the_paper_earns_the_name_cmmd() -> None:
    assert with_extractor("mmd", "clip-vit-l14-336", "fd-clip-vit-l14-336") == "cmmd"
    assert with_extractor("mmd", "clip-vit-l14", "fd-clip-vit-l14") == "mmd-clip-vit-l14"
    assert with_extractor("mmd", "fashion-cnn", "fd-fashion-cnn") == "mmd-fashion-cnn"
    assert with_extractor("kd", "clip-vit-l14-336", "fd-clip-vit-l14-336") == "kd-clip-vit-l14-336"
