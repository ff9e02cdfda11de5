"""Precision, recall, density and coverage against closed forms, brute force, invariances, and their package."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genbench.metrics.manifolds import Overlap, expected_coverage, overlap
from genbench.metrics.standard_errors import make_blocks, standard_error_from_replicates

seeds = st.integers(0, 2**31)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=rng(seed), dtype=torch.float64)


def found(real: Tensor, samples: Tensor, k: int = 5) -> Overlap:
    return overlap(real, samples, make_blocks(len(samples), rng(), 8), k)


def values(scores: Overlap) -> list[float]:
    return [score.value for score in scores]


def brute_force(real: Tensor, samples: Tensor, k: int) -> list[float]:
    """The definitions, on whole matrices."""
    x, y = real.numpy(), samples.numpy()

    def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt(((a[:, None] - b[None]) ** 2).sum(2))

    of_x, of_y = (np.sort(distances(a, a), axis=1)[:, k] for a in (x, y))  # the first is the image itself
    between = distances(x, y)
    in_x, in_y = between < of_x[:, None], between < of_y[None]
    return [in_x.any(0).mean(), in_y.any(1).mean(), in_x.sum() / (k * len(y)), in_x.any(1).mean()]


# Definitions


@given(seed=seeds, n=st.integers(6, 60), m=st.integers(6, 60), d=st.integers(1, 8), k=st.integers(1, 5))
@settings(deadline=None, max_examples=15)
def test_blocks_agree_with_whole_matrices(seed: int, n: int, m: int, d: int, k: int) -> None:
    real, samples = normal(n, d, seed=seed), 0.7 * normal(m, d, seed=seed + 1) + 0.3
    assert values(found(real, samples, k)) == pytest.approx(brute_force(real, samples, k), abs=1e-12)


@given(seed=seeds)
@settings(deadline=None, max_examples=10)
def test_ties_are_exact_at_any_offset(seed: int) -> None:
    """Points of a small lattice, far from 0: most distances are equal to a radius."""
    real, samples = (torch.randint(4, (40, 2), generator=rng(seed + i)).double() + 1e4 for i in (0, 1))
    assert values(found(real, samples)) == pytest.approx(brute_force(real, samples, 5), abs=1e-12)


def test_the_errors_are_those_of_leaving_blocks_out() -> None:
    real, samples, k = normal(60, 2), 0.6 * normal(80, 2, seed=1), 3
    blocks = make_blocks(80, rng(5), 8)
    rest = [torch.cat([b for b in blocks if b is not block]) for block in blocks]
    replicates = torch.tensor([brute_force(real, samples[rows], k) for rows in rest])
    scores = overlap(real, samples, blocks, k)
    for which in ("recall", "coverage"):
        column = Overlap._fields.index(which)
        expected = standard_error_from_replicates(replicates[:, column])
        assert getattr(scores, which).standard_error == pytest.approx(expected, rel=1e-9), which
    singles = overlap(real, samples, list(torch.arange(80).split(1)), k)
    alone = torch.tensor([brute_force(real, samples[torch.arange(80) != i], k) for i in range(80)])
    for which, column in (("precision", 0), ("density", 2)):  # the jackknife of a mean, of single images, is its error
        expected = standard_error_from_replicates(alone[:, column])
        assert getattr(singles, which).standard_error == pytest.approx(expected, rel=1e-9), which


# Invariances


@given(seed=seeds, scale=st.floats(0.01, 100))
@settings(deadline=None, max_examples=15)
def test_rotating_shifting_and_scaling_both_sets_changes_nothing(seed: int, scale: float) -> None:
    real, samples = normal(40, 6, seed=seed), normal(50, 6, seed=seed + 1)
    turn, shift = torch.linalg.qr(normal(6, 6, seed=seed + 2)).Q, 10 * normal(6, seed=seed + 3)
    moved = found(scale * (real @ turn + shift), scale * (samples @ turn + shift))
    assert values(moved) == values(found(real, samples))


@given(seed=seeds)
@settings(deadline=None, max_examples=10)
def test_precision_and_recall_change_places_with_the_sets(seed: int) -> None:
    a, b = normal(40, 3, seed=seed), 1.5 * normal(30, 3, seed=seed + 1)
    assert found(a, b).precision.value == found(b, a).recall.value


# Known answers


def test_a_set_compared_with_itself_has_a_density_of_exactly_one() -> None:
    """In the open ball of an image lie itself and its k - 1 nearest; rounding must not count the k-th."""
    real = normal(200, 16)
    scores = found(real, real.clone())
    assert values(scores) == [1.0, 1.0, 1.0, 1.0]
    assert values(found(real, real[torch.randperm(200, generator=rng(3))])) == [1.0, 1.0, 1.0, 1.0]


def test_sets_far_apart_share_nothing() -> None:
    assert values(found(normal(50, 4), normal(60, 4, seed=1) + 100)) == [0.0, 0.0, 0.0, 0.0]


def test_a_collapsed_generator_is_precise_and_covers_its_neighbourhood_only() -> None:
    real = normal(300, 8)
    samples = real[:1].expand(300, -1)
    scores = found(real, samples)
    assert scores.precision.value == 1
    assert scores.recall.value == 0  # balls without a radius hold nothing
    assert scores.coverage.value == pytest.approx(brute_force(real, samples, 5)[3], abs=1e-12)
    assert 0 < scores.coverage.value < 0.1
    assert scores.recall.standard_error == scores.precision.standard_error == 0


def test_samples_ten_times_wider_have_a_high_recall_and_a_low_density() -> None:
    scores = found(normal(400, 4), 10 * normal(400, 4, seed=1))
    assert scores.recall.value > 0.8
    assert scores.precision.value < 0.05
    assert scores.density.value < 0.05


def test_equal_numbers_of_the_same_distribution_are_covered_as_the_paper_says() -> None:
    assert expected_coverage(10**7, 10**7) == pytest.approx(1 - 2**-5, abs=1e-5)
    assert expected_coverage(2, 1, 1) == pytest.approx(
        1 / 2
    )  # the sample is nearer to one of two than the other: or not


def test_density_has_the_mean_one_and_coverage_its_formula() -> None:
    scores = [found(normal(60, 3, seed=2 * s), normal(90, 3, seed=2 * s + 1)) for s in range(200)]
    for numbers, expected in (
        ([s.density.value for s in scores], 1.0),
        ([s.coverage.value for s in scores], expected_coverage(60, 90)),
    ):
        mean, error = np.mean(numbers), np.std(numbers, ddof=1) / math.sqrt(len(numbers))
        assert abs(mean - expected) < 3 * error


def test_standard_errors_cover_the_mean_over_draws_at_least_at_the_stated_rate() -> None:
    """200 draws of samples beside the same real images.

    The errors of precision and density are exact. The jackknife's of recall and coverage are too large (Efron and
    Stein, 1981), by no more than three quarters.
    """
    real = normal(150, 16)
    scores = [overlap(real, normal(150, 16, seed=s + 1), make_blocks(150, rng(s))) for s in range(200)]
    for which, excess in (("precision", 1.2), ("density", 1.2), ("recall", 1.75), ("coverage", 1.75)):
        numbers = np.array([getattr(s, which).value for s in scores])
        errors = np.array([getattr(s, which).standard_error for s in scores])
        covered = np.mean(np.abs(numbers - numbers.mean()) < 2.09 * errors)  # Student's t of 19 degrees of freedom
        assert covered > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 200), which
        assert 0.85 < math.sqrt(np.mean(errors**2)) / numbers.std(ddof=1) < excess, which


# Too little


def test_few_images_have_no_neighbourhoods() -> None:
    with pytest.raises(ValueError, match="need at least 6 images; there are 5 real images and 9 samples"):
        found(normal(5, 2), normal(9, 2))
    scores = found(normal(6, 2), normal(6, 2, seed=1))
    assert scores.recall.standard_error is None  # without one of six samples, five have four others
    assert scores.coverage.standard_error is None
    assert scores.density.standard_error is not None


# The package of the paper


@pytest.mark.parametrize(("n", "m", "d", "k"), [(100, 100, 8, 5), (80, 120, 64, 3)])
def test_the_prdc_package_agrees(n: int, m: int, d: int, k: int) -> None:
    prdc = pytest.importorskip("prdc")
    real, samples = normal(n, d), 0.9 * normal(m, d, seed=1) + 0.1
    theirs = prdc.compute_prdc(real_features=real.numpy(), fake_features=samples.numpy(), nearest_k=k)
    assert found(real, samples, k)._asdict().keys() == theirs.keys()
    for which, score in found(real, samples, k)._asdict().items():
        assert score.value == pytest.approx(float(theirs[which]), abs=1e-9), which


@pytest.mark.slow
def test_ten_thousand_normal_vectors_score_what_the_package_publishes() -> None:
    """Its README: two draws of 10,000 from N(0, I) of 1,000 dimensions; another draw differs by a few errors."""
    real, samples = (torch.randn(10_000, 1_000, generator=rng(i)) for i in (0, 1))
    scores = found(real, samples)
    published = Overlap(*[(value, None) for value in (0.4772, 0.4705, 1.0555, 0.9735)])  # type: ignore[arg-type]
    for which in Overlap._fields:
        score = getattr(scores, which)
        assert score.standard_error is not None
        assert abs(score.value - getattr(published, which)[0]) < 4 * math.sqrt(2) * score.standard_error, which
