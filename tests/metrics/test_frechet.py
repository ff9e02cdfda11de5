"""The Fréchet distance against closed forms, invariances, and other ways to compute it."""

from __future__ import annotations

import math
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_fid import fid_score
from torch import Tensor

import genbench
from genbench.metrics.frechet import (
    Statistics,
    changes_without,
    distance_variance,
    frechet_distance,
    jackknife_distance,
    statistics,
    whiten,
)
from genbench.metrics.frechet_distance import distance_from
from genbench.metrics.standard_errors import Deletions, make_blocks, rows_outside


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # matrices this small lose more by handing work over than they gain
    yield
    torch.set_num_threads(before)


seeds = st.integers(0, 2**31)
sizes = st.tuples(st.integers(2, 24), st.integers(2, 24), st.integers(1, 12))  # images, images, dimensions


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=rng(seed), dtype=torch.float64)


def gaussian(mean: Tensor, covariance: Tensor) -> Statistics:
    """A Gaussian with exactly this covariance."""
    values, vectors = torch.linalg.eigh(covariance)
    return Statistics(mean=mean, factor=(vectors * values.clamp_min(0).sqrt()).T, n=1000)


def spd(dimensions: int, seed: int) -> Tensor:
    root = normal(dimensions, dimensions, seed=seed)
    return root @ root.T + 0.1 * torch.eye(dimensions, dtype=torch.float64)


def distance(a: Tensor, b: Tensor) -> float:
    return frechet_distance(statistics(a), statistics(b))


def scale(*sets: Tensor) -> float:
    """The size against which rounding is judged: traces and means."""
    return sum(float(s.square().sum()) for s in sets)


# Closed forms


def test_equal_covariances_leave_the_squared_distance_of_the_means() -> None:
    covariance, shift = spd(5, 0), normal(5, seed=1)
    found = frechet_distance(gaussian(torch.zeros(5, dtype=torch.float64), covariance), gaussian(shift, covariance))
    assert found == pytest.approx(float(shift.square().sum()), rel=1e-10)


def test_identity_shifted_by_one_in_every_dimension_is_their_number() -> None:
    factor = torch.eye(256, dtype=torch.float64)
    a, b = (Statistics(torch.full((256,), m, dtype=torch.float64), factor, 10) for m in (0.0, 1.0))
    assert frechet_distance(a, b) == pytest.approx(256, rel=1e-9)


def test_diagonal_covariances_compare_standard_deviations() -> None:
    a, b = torch.tensor([1.0, 4.0, 0.0, 9.0]).double(), torch.tensor([4.0, 4.0, 2.0, 0.25]).double()
    mean = torch.zeros(4, dtype=torch.float64)
    expected = float((a.sqrt() - b.sqrt()).square().sum())
    assert frechet_distance(gaussian(mean, a.diag()), gaussian(mean, b.diag())) == pytest.approx(expected, rel=1e-10)


@given(seed=seeds)
@settings(deadline=None)
def test_two_by_two_root_has_the_trace_of_cayley_hamilton(seed: int) -> None:
    a, b, mean = spd(2, seed), spd(2, seed + 1), torch.zeros(2, dtype=torch.float64)
    root = math.sqrt(float((a @ b).trace()) + 2 * math.sqrt(float(torch.linalg.det(a) * torch.linalg.det(b))))
    expected = float(a.trace() + b.trace()) - 2 * root
    assert frechet_distance(gaussian(mean, a), gaussian(mean, b)) == pytest.approx(
        expected, abs=1e-9 * float(a.trace() + b.trace())
    )


def test_rank_one_covariances_meet_in_an_inner_product() -> None:
    a, b, mean = normal(6, seed=1), normal(6, seed=2), torch.zeros(6, dtype=torch.float64)
    expected = float(a @ a + b @ b - 2 * (a @ b).abs())
    found = frechet_distance(Statistics(mean, a[None], 2), Statistics(mean, b[None], 2))
    assert found == pytest.approx(expected, rel=1e-12)


def test_distance_from_a_single_point_is_shift_plus_trace() -> None:
    features = normal(50, 4, seed=3)
    point = torch.full((7, 4), 2.0, dtype=torch.float64)
    expected = float((features.mean(0) - 2).square().sum() + features.T.cov().trace())
    assert distance(features, point) == pytest.approx(expected, rel=1e-12)


@pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")
def test_their_root_and_their_eigenvalues_agree() -> None:
    """scipy's sqrtm, as pytorch-fid takes it, and eigenvalues of the product, as torch-fidelity does."""
    a, b = normal(300, 12, seed=4) @ spd(12, 5), normal(200, 12, seed=6) @ spd(12, 7) + 1
    mean = [f.mean(0).numpy() for f in (a, b)]
    covariance = [f.T.cov().numpy() for f in (a, b)]
    try:
        theirs = fid_score.calculate_frechet_distance(mean[0], covariance[0], mean[1], covariance[1])
    except TypeError:
        pytest.skip("this scipy has no sqrtm as pytorch-fid calls it")
    roots = torch.linalg.eigvals(torch.from_numpy(covariance[0] @ covariance[1])).sqrt().real.sum()
    by_eigenvalues = float(sum(c.trace() for c in covariance) + np.square(mean[0] - mean[1]).sum() - 2 * float(roots))
    assert distance(a, b) == pytest.approx(theirs, rel=1e-8)
    assert distance(a, b) == pytest.approx(by_eigenvalues, rel=1e-8)


@pytest.mark.parametrize("smallest", [1e-2, 1e-8])
def test_with_many_features_eigenvalues_are_as_good_as_singular_values(smallest: float) -> None:
    d = 520
    stretch = torch.linspace(1, smallest**0.5, d, dtype=torch.float64)
    a, b = (statistics(normal(2 * d, d, seed=seed) * stretch + seed) for seed in (1, 2))
    assert frechet_distance(a, b, tolerance=1.0) == pytest.approx(frechet_distance(a, b, tolerance=0.0), rel=1e-8)
    assert frechet_distance(a, a) <= 1e-10 * float(a.factor.square().sum())  # no digit of eigenvalues would be left


def test_features_in_parts_are_features_in_one() -> None:
    """More rows than are in hand at once, in float32 as they come from a network's file."""
    features = (normal(9000, 3, seed=1) + 4).float()
    found = statistics(features)
    torch.testing.assert_close(found.mean, features.double().mean(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(found.factor.T @ found.factor, features.double().T.cov(), rtol=1e-12, atol=1e-13)


def test_the_symmetric_root_agrees() -> None:
    a, b = normal(300, 12, seed=4) @ spd(12, 5), normal(200, 12, seed=6) @ spd(12, 7) + 1
    first, second = a.T.cov(), b.T.cov()
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.sqrt()) @ vectors.T
    trace = torch.linalg.eigvalsh(root @ second @ root).sqrt().sum()
    expected = float((a.mean(0) - b.mean(0)).square().sum() + first.trace() + second.trace() - 2 * trace)
    assert distance(a, b) == pytest.approx(expected, rel=1e-8)


# Invariances


@given(n=st.sampled_from([2, 3, 8, 9, 40]), offset=st.sampled_from([0.0, 1e3]), seed=seeds)
@settings(deadline=None)
def test_a_set_is_at_no_distance_from_itself(n: int, offset: float, seed: int) -> None:
    features = normal(n, 8, seed=seed) + offset  # fewer images than features, as many, and more
    assert distance(features, features.flip(0)) <= 1e-10 * scale(features - offset) + 1e-24 * offset**2 * n


@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
def test_constant_features_are_at_no_distance_from_themselves(value: float) -> None:
    features = torch.full((5, 3), value)
    assert distance(features, features) <= 1e-10


@given(sizes=sizes, seed=seeds)
@settings(deadline=None)
def test_distance_is_symmetric_and_not_negative(sizes: tuple[int, int, int], seed: int) -> None:
    a, b = normal(sizes[0], sizes[2], seed=seed), 3 * normal(sizes[1], sizes[2], seed=seed + 1)
    there, back = distance(a, b), distance(b, a)
    assert there >= 0
    assert there == pytest.approx(back, abs=1e-10 * scale(a, b))


@given(sizes=sizes, factor=st.floats(0.01, 100), seed=seeds)
@settings(deadline=None)
def test_rotation_and_translation_change_nothing_and_scaling_squares(
    sizes: tuple[int, int, int], factor: float, seed: int
) -> None:
    d = sizes[2]
    a, b = normal(sizes[0], d, seed=seed), 2 * normal(sizes[1], d, seed=seed + 1) + 1
    rotation, _ = torch.linalg.qr(normal(d, d, seed=seed + 2))
    shift = normal(d, seed=seed + 3)
    moved = distance(factor * (a @ rotation + shift), factor * (b @ rotation + shift))
    assert moved == pytest.approx(factor**2 * distance(a, b), rel=1e-8, abs=1e-9 * factor**2 * scale(a, b))


@given(d=st.integers(1, 8), seed=seeds)
@settings(deadline=None)
def test_its_root_obeys_the_triangle_inequality(d: int, seed: int) -> None:
    a, b, c = (normal(d + 3, d, seed=seed + i) * (i + 1) + i for i in range(3))
    assert math.sqrt(distance(a, c)) <= math.sqrt(distance(a, b)) + math.sqrt(distance(b, c)) + 1e-6


@given(sizes=sizes, seed=seeds)
@settings(deadline=None)
def test_the_factor_is_a_root_of_the_unbiased_covariance(sizes: tuple[int, int, int], seed: int) -> None:
    features = normal(sizes[0], sizes[2], seed=seed) + 5
    found = statistics(features)
    expected = features.T.cov(correction=1).reshape(sizes[2], sizes[2])
    torch.testing.assert_close(found.factor.T @ found.factor, expected, rtol=1e-9, atol=1e-9)


def test_a_large_offset_costs_few_digits() -> None:
    a, b = normal(100, 6, seed=8), normal(100, 6, seed=9) + 1
    assert distance(a + 1e6, b + 1e6) == pytest.approx(distance(a, b), rel=1e-6)


@pytest.mark.parametrize("n", [500, 4000])
def test_the_bias_of_a_finite_sample_is_what_theory_says(n: int) -> None:
    """Against the exact Gaussian N(0, I): d/N + d(d+1)/(4(N-1)) for d dimensions."""
    d, repeats = 8, 40
    exact = Statistics(torch.zeros(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64), 10**9)
    found = torch.tensor([frechet_distance(statistics(normal(n, d, seed=s)), exact) for s in range(repeats)])
    expected = d / n + d * (d + 1) / (4 * (n - 1))
    assert float(found.mean()) == pytest.approx(expected, abs=4 * float(found.std()) / repeats**0.5 + 0.02 * expected)


# Whitening


@given(seed=seeds, exponents=st.lists(st.floats(-2, 2), min_size=4, max_size=4))
@settings(deadline=None)
def test_whitened_distance_does_not_depend_on_the_scale_of_a_feature(seed: int, exponents: list[float]) -> None:
    a, b = normal(40, 4, seed=seed), 2 * normal(30, 4, seed=seed + 1) + 1
    stretch = 10 ** torch.tensor(exponents, dtype=torch.float64)
    plain, stretched = whiten(statistics(a)), whiten(statistics(a * stretch))
    expected = distance(plain(a), plain(b))
    assert distance(stretched(a * stretch), stretched(b * stretch)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n", [6, 200])
def test_whitened_reference_is_standard_and_null_directions_are_gone(n: int) -> None:
    features = normal(n, 9, seed=2)
    features[:, 4] = 3.0  # dead
    features[:, 5] = features[:, 6]  # a repetition
    white = whiten(statistics(features))(features)
    assert white.shape[1] == min(n - 1, 7)
    torch.testing.assert_close(white.mean(0), torch.zeros(white.shape[1], dtype=torch.float64))
    torch.testing.assert_close(white.T.cov(), torch.eye(white.shape[1], dtype=torch.float64), rtol=0, atol=1e-8)


def test_rounding_of_float32_is_not_a_direction() -> None:
    features = normal(200, 3, seed=3)
    features[:, 2] = 1 + 1e-8 * normal(200, seed=4)
    assert whiten(statistics(features))(features).shape[1] == 2


def test_constant_reference_cannot_whiten() -> None:
    with pytest.raises(ValueError, match="all the same"):
        whiten(statistics(torch.full((10, 3), 0.1)))


# Faults


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_images_have_no_covariance(n: int) -> None:
    with pytest.raises(ValueError, match="two images"):
        statistics(torch.zeros(n, 3))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_features_that_are_not_finite_are_refused_and_counted(bad: float) -> None:
    features = torch.zeros(4, 3)
    features[1, 2] = features[3, 0] = bad
    with pytest.raises(ValueError, match="2 images"):
        statistics(features)


def test_other_dimensions_have_no_distance() -> None:
    with pytest.raises(ValueError, match="3 and 4 dimensions"):
        distance(torch.zeros(5, 3), torch.zeros(5, 4))


# Standard error


@given(n=st.integers(3, 40), d=st.integers(1, 12), reference_n=st.integers(2, 40), seed=seeds)
@settings(max_examples=60, deadline=None)
def test_the_fast_jackknife_is_the_definition(n: int, d: int, reference_n: int, seed: int) -> None:
    features = normal(n, d, seed=seed) * 2 + 0.5
    reference = statistics(normal(reference_n, d, seed=seed + 1))
    blocks = make_blocks(n, rng(seed))
    kept = [torch.cat([other for other in blocks if other is not block]) for block in blocks]
    replicates = torch.tensor([frechet_distance(statistics(features[rows]), reference) for rows in kept])
    k, whole = len(blocks), frechet_distance(statistics(features), reference)
    error = math.sqrt((k - 1) / k * float((replicates - replicates.mean()).square().sum()))
    debiased = k * whole - (k - 1) * float(replicates.mean())
    found = jackknife_distance(features, reference, blocks)
    assert found.standard_error == pytest.approx(error, rel=1e-5, abs=1e-6 * scale(features))
    assert whole - found.bias == pytest.approx(debiased, rel=1e-5, abs=1e-6 * scale(features))


def test_its_variance_leaves_out_blocks_and_pairs_of_them() -> None:
    features, reference = normal(60, 3, seed=1), statistics(normal(50, 3, seed=2))
    deletions = Deletions(make_blocks(60, rng()))
    left = [frechet_distance(statistics(features[rows_outside(rows, 60)]), reference) for rows in deletions.rows]
    expected = deletions.variance(frechet_distance(statistics(features), reference), torch.tensor(left))
    assert distance_variance(features, reference, deletions.blocks) == pytest.approx(expected, rel=1e-5)
    assert distance_variance(features, reference, []) is None


@pytest.mark.parametrize("rows", [10, 100])
def test_a_reference_without_spread_has_a_jackknife_too(rows: int) -> None:
    features, point = normal(rows, 20, seed=1), statistics(torch.zeros(5, 20))
    found = jackknife_distance(features, Statistics(point.mean, point.factor[:0], 5), make_blocks(rows, rng()))
    again = jackknife_distance(features, point, make_blocks(rows, rng()))
    assert found.standard_error == pytest.approx(again.standard_error, rel=1e-6)
    # |mean|² + tr Σ: all its bias is that of the mean, tr Σ / n
    assert found.bias == pytest.approx(float(features.T.cov().trace()) / rows, rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_debiasing_takes_four_fifths_of_the_bias(shift: float) -> None:
    """The reference is exact, and the distance of the distributions is shift² d."""
    d, n, repeats = 8, 160, 60
    exact = Statistics(torch.full((d,), shift, dtype=torch.float64), torch.eye(d, dtype=torch.float64), None)
    plain, debiased = [], []
    for seed in range(repeats):
        features = normal(n, d, seed=seed)
        found = distance_from(features, exact, whitens=False, rng=rng(seed))
        plain.append(found.value - shift**2 * d)
        debiased.append((found.debiased or 0) - shift**2 * d)
    left, error = torch.tensor(debiased).mean(), torch.tensor(debiased).std() / repeats**0.5
    assert float(torch.tensor(plain).mean()) == pytest.approx(d / n + d * (d + 1) / (4 * (n - 1)), rel=0.25)
    assert abs(float(left)) < float(torch.tensor(plain).mean()) / 5 + 2 * float(error)


def simulate(d: int, n: int, reference: Statistics, repeats: int = 200) -> Tensor:
    """Distances of fresh samples of N(0, I), their standard errors, and their debiased values, (3, repeats)."""
    found = []
    for seed in range(repeats):
        features = normal(n, d, seed=seed)
        value = frechet_distance(statistics(features), reference)
        jackknife = jackknife_distance(features, reference, make_blocks(n, rng(seed)))
        found.append((value, jackknife.standard_error, value - jackknife.bias))
    return torch.tensor(found).T


@pytest.fixture(scope="module")
def reference() -> Statistics:
    return gaussian(torch.full((5,), 0.3, dtype=torch.float64), spd(5, 1))


@pytest.fixture(scope="module")
def simulation(reference: Statistics) -> Tensor:
    return simulate(5, 200, reference)


@pytest.mark.slow
def test_the_standard_error_is_the_spread_over_repetitions(simulation: Tensor) -> None:
    values, errors, _ = simulation
    assert float(errors.square().mean().sqrt()) == pytest.approx(float(values.std()), rel=0.2)


def test_the_interval_of_two_standard_errors_covers(simulation: Tensor, reference: Statistics) -> None:
    """±t₁₉(0.975) standard errors hold in about 95 of 100 repetitions the mean distance at this sample size and, around
    the debiased value, the distance of the distributions."""
    values, errors, debiased = simulation
    truth = frechet_distance(gaussian(torch.zeros(5).double(), torch.eye(5).double()), reference)
    for found, expected in ((values, float(values.mean())), (debiased, truth)):
        covered = float(((found - expected).abs() < 2.093 * errors).double().mean())
        assert 0.90 <= covered <= 0.99  # 95 % ± 3 binomial standard errors


def test_with_fewer_images_than_features_the_error_is_not_too_small_and_the_bias_is_mostly_found() -> None:
    d, n = 40, 25
    shifted = Statistics(torch.full((d,), 0.5, dtype=torch.float64), torch.eye(d, dtype=torch.float64), None)
    values, errors, debiased = simulate(d, n, shifted, repeats=60)
    truth = 0.25 * d
    assert float(values.mean()) - truth > truth / 2  # mostly bias
    assert float(values.std()) < float(errors.square().mean().sqrt()) < 4 * float(values.std())
    assert abs(float(debiased.mean()) - truth) < (float(values.mean()) - truth) / 5


# What it needs


@pytest.mark.slow
def test_features_and_metrics_do_without_scipy() -> None:
    """Releases of scipy have broken, and removed, what other implementations call."""
    modules = [
        f"genbench.{package}.{module.name}"
        for package in ("features", "metrics")
        for module in pkgutil.iter_modules([str(Path(genbench.__file__).parent / package)])
    ]
    assert {"genbench.features.statistics_file", "genbench.metrics.frechet_distance"} <= set(modules)
    code = f"""
import importlib, sys
sys.modules["scipy"] = None
for module in {modules}:
    importlib.import_module(module)
import torch
from genbench.metrics.frechet import frechet_distance, statistics
features = torch.arange(12.0).reshape(4, 3)
assert frechet_distance(statistics(features), statistics(features + 1)) > 2.9
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize(("n", "d"), [(60, 4), (9, 30)])
def test_covariances_divided_by_n_or_by_n_minus_1(ddof: int, n: int, d: int) -> None:
    rng = torch.Generator().manual_seed(3)
    features = torch.randn(n, d, generator=rng).double()
    reference = statistics(torch.randn(50, d, generator=rng).double(), ddof)
    fitted = statistics(features, ddof)
    expected = torch.cov(features.T, correction=ddof)
    torch.testing.assert_close(fitted.factor.T @ fitted.factor, expected, rtol=1e-9, atol=1e-9)
    blocks = list(torch.arange(n).chunk(3))
    whole = frechet_distance(fitted, reference)
    for block, change in zip(blocks, changes_without(features, reference, blocks, ddof), strict=True):
        kept = features[rows_outside(block, n)]
        assert frechet_distance(statistics(kept, ddof), reference) - whole == pytest.approx(float(change), abs=1e-6)
