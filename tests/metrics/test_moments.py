"""Sufficient statistics of features: any way to split and merge a set gives the same result."""

from __future__ import annotations

import functools
import math
import operator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genbench.features.covariance_factor import factor_of
from genbench.metrics.frechet import frechet_distance, statistics
from genbench.metrics.moments import Moments

seeds = st.integers(0, 2**31)
cuts = st.lists(st.integers(1, 12), min_size=1, max_size=8)  # sizes of the parts of a set


def normal(n: int, d: int, seed: int = 0) -> Tensor:
    """Correlated features whose mean is as large as their spread."""
    rng = torch.Generator().manual_seed(seed)
    mixed = torch.randn(n, d, generator=rng, dtype=torch.float64) @ torch.randn(d, d, generator=rng).double()
    return mixed + torch.randn(d, generator=rng).double()


def two_pass(features: Tensor) -> Moments:
    mean = features.double().mean(0)
    return Moments(len(features), mean, (features.double() - mean).T @ (features.double() - mean))


def assert_same(found: Moments, expected: Moments, tolerance: float = 1e-12) -> None:
    assert found.n == expected.n
    size = float(expected.scatter.trace()) + 1e-300
    assert float((found.scatter - expected.scatter).abs().max()) <= tolerance * size
    assert float((found.mean - expected.mean).abs().max()) <= tolerance * float(expected.mean.abs().max() + size**0.5)


@given(parts=cuts, d=st.integers(1, 8), seed=seeds)
@settings(deadline=None)
def test_any_split_is_the_two_pass_result(parts: list[int], d: int, seed: int) -> None:
    features = normal(sum(parts), d, seed)
    moments = [Moments.of(part) for part in features.split(parts)]
    assert_same(functools.reduce(operator.add, moments), two_pass(features))
    assert_same(functools.reduce(Moments.add, features.split(parts)[1:], moments[0]), two_pass(features))


@given(parts=st.tuples(*[st.integers(1, 20)] * 3), d=st.integers(1, 6), seed=seeds)
@settings(deadline=None)
def test_merging_is_associative_and_commutative(parts: tuple[int, int, int], d: int, seed: int) -> None:
    a, b, c = (Moments.of(part) for part in normal(sum(parts), d, seed).split(parts))
    assert_same((a + b) + c, a + (b + c))
    assert_same(a + b, b + a)


@given(parts=st.tuples(st.integers(1, 20), st.integers(1, 20)), d=st.integers(1, 6), seed=seeds)
@settings(deadline=None)
def test_removing_a_block_undoes_adding_it(parts: tuple[int, int], d: int, seed: int) -> None:
    features = normal(sum(parts), d, seed)
    kept, block = features.split(parts)
    found = Moments.of(features) - Moments.of(block)
    size = float(two_pass(features).scatter.trace()) + 1e-300
    assert found.n == len(kept)
    assert float((found.scatter - two_pass(kept).scatter).abs().max()) <= 1e-12 * size
    torch.testing.assert_close(found.mean, kept.mean(0), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [1, 7, 100])
def test_an_offset_of_a_million_spreads_keeps_six_digits(size: int) -> None:
    features = normal(100, 5)
    moved = functools.reduce(operator.add, [Moments.of(part + 1e6) for part in features.split(size)])
    expected = two_pass(features).scatter
    torch.testing.assert_close(moved.scatter, expected, rtol=1e-6, atol=1e-6 * float(expected.trace()))


@given(n=st.sampled_from([2, 5, 8, 9, 60]), seed=seeds)
@settings(deadline=None)
def test_the_gaussian_is_that_of_the_features(n: int, seed: int) -> None:
    """Fewer images than features, as many, and more; one feature is dead, and one is another's copy."""
    features = normal(n, 8, seed)
    features[:, 3], features[:, 4] = 1.0, features[:, 5]
    found = functools.reduce(operator.add, [Moments.of(part) for part in features.split(3)]).statistics()
    trace = float(features.T.cov().trace())
    torch.testing.assert_close(found.factor.T @ found.factor, features.T.cov(), rtol=0, atol=1e-12 * trace)
    assert (found.n, len(found.factor)) == (n, min(n - 1, 6))
    assert frechet_distance(found, statistics(features)) <= 1e-10 * trace


def test_images_without_spread_have_a_factor_without_rows() -> None:
    found = Moments.of(torch.full((5, 3), 0.1)).statistics()
    assert found.factor.shape == (0, 3)
    assert frechet_distance(found, found) == 0
    other = statistics(normal(20, 3))
    shift = float((other.mean - found.mean).square().sum())
    assert frechet_distance(found, other) == pytest.approx(shift + float(other.factor.square().sum()))


@pytest.mark.parametrize("smallest", [1.0, 1e-6, 0.0])
def test_a_factor_is_a_root_of_regular_and_of_singular_covariances(smallest: float) -> None:
    rotation, _ = torch.linalg.qr(normal(6, 6))
    values = torch.tensor([5.0, 3.0, 2.0, 1.0, smallest, smallest]).double()
    covariance = (rotation * values) @ rotation.T
    factor = factor_of((covariance + covariance.T) / 2)
    assert len(factor) == (6 if smallest else 4)
    torch.testing.assert_close(factor.T @ factor, covariance, rtol=0, atol=1e-13)


def test_faults_name_their_cause() -> None:
    one, few = Moments.of(normal(1, 3)), Moments.of(normal(4, 3))
    with pytest.raises(ValueError, match="at least two images; there are 1"):
        one.statistics()
    with pytest.raises(ValueError, match="none would remain"):
        few - few
    with pytest.raises(ValueError, match="3 and 4 dimensions"):
        few + Moments.of(normal(4, 4))
    with pytest.raises(ValueError, match="no images"):
        Moments.of(torch.zeros(0, 3))
    with pytest.raises(ValueError, match="1 images have features that are not finite"):
        Moments.of(torch.tensor([[1.0, math.nan], [1.0, 2.0]]))
