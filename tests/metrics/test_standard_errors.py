"""The delete-block jackknife on a statistic whose standard error is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genbench.metrics.standard_errors import (
    Deletions,
    VarianceParts,
    error_of_mean,
    make_blocks,
    quantile_and_standard_error,
    rows_outside,
    standard_error_from_replicates,
)


@given(n=st.integers(0, 200), blocks=st.integers(2, 30))
@settings(deadline=None)
def test_blocks_partition_the_rows_evenly(n: int, blocks: int) -> None:
    found = make_blocks(n, torch.Generator().manual_seed(0), blocks)
    if n < 3:
        assert found == []
        return
    sizes = {len(block) for block in found}
    assert torch.cat(found).sort().values.tolist() == list(range(n))
    assert max(sizes) - min(sizes) <= 1
    assert 2 <= len(found) <= blocks


def test_deleting_single_rows_of_a_mean_gives_its_textbook_error() -> None:
    values = torch.randn(50, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    replicates = (values.sum() - values) / 49
    assert standard_error_from_replicates(replicates) == pytest.approx(float(values.std()) / 50**0.5, rel=1e-12)


def test_rows_sorted_by_class_do_not_inflate_the_error() -> None:
    values = torch.cat([torch.zeros(500), torch.ones(500)]).double()
    blocks = make_blocks(1000, torch.Generator().manual_seed(2))
    replicates = torch.stack([(values.sum() - values[block].sum()) / (1000 - len(block)) for block in blocks])
    assert standard_error_from_replicates(replicates) == pytest.approx(0.5 / 1000**0.5, rel=0.5)


def test_the_error_of_a_quantile_is_its_spread_over_draws() -> None:
    """Of 400 exponential values: the quantile of share p is -ln(1 - p), its asymptotic error √(p / (1 - p) / n)."""
    rng = torch.Generator().manual_seed(0)
    for share in (0.5, 0.95):
        draws = [torch.empty(400).exponential_(generator=rng) for _ in range(300)]
        values, errors = torch.tensor([quantile_and_standard_error(one, share) for one in draws]).T
        assert float(values.mean()) == pytest.approx(-float(torch.log(torch.tensor(1 - share))), rel=0.03)
        assert float(values.std()) == pytest.approx((share / (1 - share) / 400) ** 0.5, rel=0.15)
        assert 0.95 < float(errors.mean() / values.std()) < 1.2  # too large by up to a seventh


@pytest.mark.parametrize(("n", "share"), [(400, 0.05), (37, 0.5), (1000, 0.99), (1, 0.5)])
def test_a_quantile_and_its_error_are_those_of_scipy(n: int, share: float) -> None:
    mstats = pytest.importorskip("scipy.stats.mstats")
    values = torch.randn(n, generator=torch.Generator().manual_seed(3)).exp()
    value, error = quantile_and_standard_error(values, share)
    if n == 1:
        assert value == pytest.approx(float(values))
        return
    expected, variance = mstats.hdquantiles(values.double().numpy(), [share], var=True).data[:, 0]
    assert value == pytest.approx(expected, rel=1e-9)
    assert error == pytest.approx(variance**0.5, rel=1e-6)


def test_intervals_of_a_quantile_hold_the_truth() -> None:
    """At the end of a skewed distribution, where errors from the distance of two order statistics are too noisy."""
    rng = torch.Generator().manual_seed(0)
    draws = [quantile_and_standard_error(torch.empty(400).exponential_(generator=rng), 0.05) for _ in range(1500)]
    values, errors = torch.tensor(draws).T
    share = float(((values + math.log(0.95)).abs() < 1.96 * errors).float().mean())
    assert share == pytest.approx(0.95, abs=0.017)  # three standard errors of a share of 1,500


def test_a_quantile_needs_values_on_both_sides_for_an_error() -> None:
    values = torch.arange(1, 101).float()
    assert quantile_and_standard_error(values, 0.95)[0] == pytest.approx(95.5, abs=0.1)
    assert quantile_and_standard_error(values, 0.95)[1] is not None
    assert quantile_and_standard_error(values, 0.99)[1] is None
    assert quantile_and_standard_error(values[:1], 0.5) == (1, None)


def squared_mean(rows: Tensor) -> float:
    """The unbiased estimate of |μ|²: a mean over pairs of rows."""
    n = len(rows)
    return float((rows.sum(0).square().sum() - rows.square().sum()) / (n * (n - 1)))


def error_of(statistic: Callable[[Tensor], float], rows: Tensor) -> float:
    deletions = Deletions(make_blocks(len(rows), torch.Generator().manual_seed(0)))
    replicates = torch.tensor([statistic(rows[rows_outside(left, len(rows))]) for left in deletions.rows])
    return deletions.standard_error(statistic(rows), replicates) or 0.0


@pytest.mark.parametrize("n", [5, 37, 50, 400])
def test_a_mean_has_no_pairs_and_keeps_the_error_of_the_jackknife(n: int) -> None:
    values = torch.randn(n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    blocks = make_blocks(n, torch.Generator().manual_seed(0))
    left_out = torch.stack([values[rows_outside(block, n)].mean() for block in blocks])
    assert error_of(lambda rows: float(rows.mean()), values) == pytest.approx(standard_error_from_replicates(left_out))


@pytest.mark.parametrize(("length", "low", "high"), [(0.0, 0.95, 1.45), (0.2, 0.95, 1.35), (1.0, 0.93, 1.07)])
def test_the_variance_of_pairs_is_counted_once(length: float, low: float, high: float) -> None:
    """Of n rows of N(μ, I) in d dimensions, the estimate of |μ|² has the variance 4|μ|²/n + 2d/n(n-1).

    The jackknife counts the second part twice. An estimate that is hardly below 0 is too large on average where the
    truth is 0: with 20 blocks by a quarter of the second part.
    """
    n, d = 60, 24
    mean = torch.full((d,), length / d**0.5, dtype=torch.float64)
    draws = [
        mean + torch.randn(n, d, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in range(150)
    ]
    exact = 4 * length**2 / n + 2 * d / (n * (n - 1))
    found = sum(error_of(squared_mean, rows) ** 2 for rows in draws) / len(draws)
    assert low < found / exact < high


def test_where_there_are_only_pairs_their_two_estimates_are_averaged() -> None:
    """The jackknife has the variance of pairs twice: 1 + 1, of which -0.4 is missing here by chance."""
    found = error_of_mean([VarianceParts(singles=-0.4, pairs=1.0)]) ** 2
    assert found == pytest.approx((1.0 + (2 * 1.0 - 0.4) / 2) / 2)
    assert error_of_mean([VarianceParts(0.3, 1.0), VarianceParts(-0.1, 1.0)]) == pytest.approx(2.2**0.5 / 2)


def test_intervals_of_a_statistic_of_pairs_hold_the_truth() -> None:
    n, d, truth = 60, 24, 0.0
    draws = [torch.randn(n, d, generator=torch.Generator().manual_seed(s), dtype=torch.float64) for s in range(400)]
    held = sum(abs(squared_mean(rows) - truth) <= 2.093 * error_of(squared_mean, rows) for rows in draws)
    assert held / len(draws) == pytest.approx(0.95, abs=0.033)  # three standard errors of a share of 400


def test_an_error_needs_two_blocks_and_a_share_of_pairs_six() -> None:
    few = Deletions(make_blocks(5, torch.Generator().manual_seed(0)))
    assert few.pairs == []
    replicates = torch.tensor([1.0, 2.0, 4.0, 3.0, 5.0])
    assert few.standard_error(3.0, replicates) == pytest.approx(standard_error_from_replicates(replicates))
    assert Deletions([]).standard_error(3.0, torch.tensor([])) is None
