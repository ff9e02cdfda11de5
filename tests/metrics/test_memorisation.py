"""Memorisation: copies and unrelated images have known scores, ranks agree with scipy, errors with draws."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genbench.metrics.memorisation import authenticity, copying, nearest_ratio
from genbench.metrics.neighbours import nearest

seeds = st.integers(0, 2**31)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distances(images: Tensor, train: Tensor) -> Tensor:
    return nearest(images, train).distances.squeeze(1)


def authentic(images: Tensor, train: Tensor) -> tuple[float, float | None]:
    found = nearest(images, train)
    return authenticity(found.distances.squeeze(1), found.indices.squeeze(1), train)


# Nearest neighbours


@given(seed=seeds, n=st.integers(1, 30), m=st.integers(4, 40), d=st.integers(1, 6), k=st.integers(1, 3))
@settings(deadline=None, max_examples=40)
def test_neighbours_are_those_of_all_distances(seed: int, n: int, m: int, d: int, k: int) -> None:
    queries, references = normal(n, d, seed=seed) + 100, normal(m, d, seed=seed + 1) + 100
    found = nearest(queries, references, k)
    expected = np.sort(np.sqrt(((queries[:, None] - references[None]).numpy() ** 2).sum(2)), axis=1)[:, :k]
    np.testing.assert_allclose(found.distances.numpy(), expected, rtol=1e-9)
    again = (queries[:, None] - references[found.indices]).square().sum(2).sqrt()
    torch.testing.assert_close(found.distances, again)


def test_copies_are_at_no_distance_at_all_and_an_image_is_not_its_own_neighbour() -> None:
    train = normal(3_000, 5) + 7
    assert float(distances(train[::7], train).max()) == 0
    found = nearest(train[:50], train, excluding=torch.arange(50))
    assert not bool((found.indices.squeeze(1) == torch.arange(50)).any())
    with pytest.raises(ValueError, match="only 0"):
        nearest(train[:1], train[:1], excluding=torch.tensor([0]))


# Authenticity


def test_copies_are_not_authentic_and_strangers_are() -> None:
    train = normal(100, 3)
    assert authentic(train[torch.arange(60)], train) == (0, 0)
    assert authentic(train[torch.arange(60)] + 100, train)[0] == 1
    assert authentic(train[torch.arange(60)] + 1e-6, train)[0] == 0


def test_duplicates_among_the_training_images_hide_no_copy() -> None:
    train = normal(50, 3).repeat(2, 1)
    assert authentic(train[:20], train)[0] == 0


def test_authenticity_is_what_it_says_image_by_image() -> None:
    train, images = normal(40, 2), normal(70, 2, seed=1)
    between = np.sqrt(((images[:, None] - train[None]).numpy() ** 2).sum(2))
    within = np.sqrt(((train[:, None] - train[None]).numpy() ** 2).sum(2)) + np.diag([np.inf] * 40)
    expected = np.mean([row.min() > within[row.argmin()].min() for row in between])
    value, error = authentic(images, train)
    assert value == pytest.approx(expected, rel=1e-12)
    assert error == pytest.approx(math.sqrt(expected * (1 - expected) / 69), rel=1e-9)


# Copying


def test_copies_have_a_negative_score_and_underfitted_samples_a_positive_one() -> None:
    train, held_out = normal(400, 3), distances(normal(200, 3, seed=1), normal(400, 3))
    copies = train[torch.arange(200)] + 0.01 * normal(200, 3, seed=2)
    assert copying(distances(copies, train), held_out)[0] < -10
    assert copying(distances(2 * normal(200, 3, seed=3), train), held_out)[0] > 5
    assert abs(copying(distances(normal(200, 3, seed=4), train), held_out)[0]) < 3


@pytest.mark.parametrize(("low", "expected"), [(0, -1), (100, 1)])
def test_all_below_or_above_is_the_extreme_of_the_statistic(low: float, expected: int) -> None:
    m, n = 30, 50
    samples, held_out = low + torch.rand(m).double(), 10 + torch.rand(n).double()
    extreme = m * n / 2 / math.sqrt(m * n * (m + n + 1) / 12)
    assert copying(samples, held_out)[0] == pytest.approx(expected * extreme, rel=1e-12)


@given(seed=seeds, levels=st.integers(2, 50), m=st.integers(3, 40), n=st.integers(3, 40))
@settings(deadline=None, max_examples=30)
def test_scipy_gives_the_same_probability_with_ties_and_without(seed: int, levels: int, m: int, n: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = torch.Generator().manual_seed(seed)
    a, b = (torch.randint(levels, (size,), generator=rng).double() for size in (m, n))
    z, _ = copying(a, b)
    if len(torch.cat([a, b]).unique()) == 1:
        assert z == 0
        return
    theirs = stats.mannwhitneyu(a.numpy(), b.numpy(), method="asymptotic", use_continuity=False)
    assert math.erfc(abs(z) / math.sqrt(2)) == pytest.approx(theirs.pvalue, rel=1e-9)


@given(seed=seeds)
@settings(deadline=None, max_examples=20)
def test_any_increasing_scale_of_distances_has_the_same_score_and_the_sets_the_opposite(seed: int) -> None:
    a, b = normal(30, seed=seed).exp(), normal(40, seed=seed + 1).exp()
    assert copying(a.log(), b.log()) == copying(a, b)
    assert copying(b, a)[0] == pytest.approx(-copying(a, b)[0], rel=1e-9, abs=1e-9)


# Ratio


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_the_ratio_of_medians_follows_the_scale_and_copies_have_none(scale: float) -> None:
    held_out = torch.rand(101, generator=torch.Generator().manual_seed(0)).double() + 1
    assert nearest_ratio(scale * held_out, held_out)[0] == pytest.approx(scale, rel=1e-12)
    assert nearest_ratio(torch.zeros(50).double(), held_out) == (0, 0)
    assert nearest_ratio(held_out[:3], held_out)[1] is None


# Errors


@pytest.mark.parametrize("number", ["authenticity", "copying", "nearest ratio"])
def test_standard_errors_cover_the_mean_over_draws(number: str) -> None:
    train, held_out = normal(200, 3), distances(normal(80, 3, seed=9_999), normal(200, 3))
    statistics: dict[str, Callable[[Tensor], tuple[float, float | None]]] = {
        "authenticity": lambda samples: authentic(samples, train),
        "copying": lambda samples: copying(distances(samples, train), held_out),
        "nearest ratio": lambda samples: nearest_ratio(distances(samples, train), held_out),
    }
    found = [statistics[number](0.8 * normal(120, 3, seed=s + 1)) for s in range(200)]
    values, errors = np.array([v for v, _ in found]), np.array([e for _, e in found])
    assert math.sqrt(np.mean(errors**2)) == pytest.approx(values.std(ddof=1), rel=0.2)
    assert np.mean(np.abs(values - values.mean()) < 1.96 * errors) > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 200)
