"""The sliced Wasserstein distance against closed forms, brute force, and its own spread over draws."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genbench.metrics.sliced_wasserstein import orthonormal_directions, sliced_wasserstein
from genbench.metrics.standard_errors import make_blocks


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def gaussian(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=rng(seed), dtype=torch.float64)


@pytest.mark.parametrize("d", [1, 3, 16, 40])
def test_a_pure_shift_of_every_coordinate_by_mu_is_3_d_mu_squared(d: int) -> None:
    x = gaussian(50, d, 1)
    found, _ = sliced_wasserstein(x + 0.5, x, orthonormal_directions(d, 16, rng()))
    assert found == pytest.approx(3 * d * 0.25, rel=1e-12)


def test_directions_are_whole_orthonormal_bases() -> None:
    bases = orthonormal_directions(5, 12, rng())
    assert bases.shape == (5, 15)
    for basis in torch.split(bases, 5, dim=1):
        torch.testing.assert_close(basis.T @ basis, torch.eye(5, dtype=torch.float64))


@given(seed=st.integers(0, 100), n=st.integers(2, 40))
def test_a_set_has_no_distance_from_itself_in_another_order_and_both_sides_are_alike(seed: int, n: int) -> None:
    x, y = gaussian(n, 4, seed), gaussian(n + 3, 4, seed + 1)
    directions = orthonormal_directions(4, 8, rng())
    assert sliced_wasserstein(x, x[torch.randperm(n, generator=rng(seed))], directions)[0] == pytest.approx(
        0, abs=1e-25
    )
    there, back = sliced_wasserstein(x, y, directions)[0], sliced_wasserstein(y, x, directions)[0]
    assert there == pytest.approx(back, rel=1e-10)


def test_unequal_numbers_are_compared_by_their_exact_quantile_functions() -> None:
    x, y = gaussian(6, 1, 2), gaussian(4, 1, 3)
    found, _ = sliced_wasserstein(x, y, torch.ones(1, 1, dtype=torch.float64))
    repeated = (x.sort(0).values.repeat_interleave(2, 0) - y.sort(0).values.repeat_interleave(3, 0)).square().mean()
    assert found == pytest.approx(3 * float(repeated), rel=1e-12)


def test_a_scaled_gaussian_has_the_distance_of_the_two_gaussians() -> None:
    found, _ = sliced_wasserstein(
        2 * gaussian(20_000, 3, 4), gaussian(20_000, 3, 5), orthonormal_directions(3, 6, rng())
    )
    assert found == pytest.approx(3 * 3 * 1.0, rel=0.05)  # W₂² of N(0, 4) and N(0, 1) is (2 - 1)²


def test_it_scales_with_the_square_of_the_features() -> None:
    x, y, directions = gaussian(30, 4, 6), gaussian(25, 4, 7) + 1, orthonormal_directions(4, 8, rng())
    assert sliced_wasserstein(3 * x, 3 * y, directions)[0] == pytest.approx(9 * sliced_wasserstein(x, y, directions)[0])


def test_the_jackknife_is_that_of_leaving_each_block_out() -> None:
    x, y, directions = gaussian(41, 3, 8) + 0.3, gaussian(60, 3, 9), orthonormal_directions(3, 6, rng())
    blocks = make_blocks(41, rng(1), 5)
    _, error = sliced_wasserstein(x, y, directions, blocks)
    left = []
    for block in blocks:
        kept = torch.ones(41, dtype=torch.bool)
        kept[block] = False
        left.append(sliced_wasserstein(x[kept], y, directions)[0])
    replicates = torch.tensor(left, dtype=torch.float64)
    assert error == pytest.approx(float(((replicates - replicates.mean()) ** 2).sum() * 4 / 5) ** 0.5, rel=1e-9)


def test_the_standard_error_is_the_spread_over_draws() -> None:
    y, directions = gaussian(400, 3, 10), orthonormal_directions(3, 3, rng())
    found = [
        sliced_wasserstein(gaussian(200, 3, 100 + seed) + 0.7, y, directions, make_blocks(200, rng(seed)))
        for seed in range(200)
    ]
    values = torch.tensor([value for value, _ in found])
    errors = torch.tensor([error for _, error in found])
    assert float(errors.mean()) == pytest.approx(float(values.std()), rel=0.2)


def test_in_the_same_directions_it_is_mind_as_published() -> None:
    """Berthet et al., 2026: 3d times the mean squared difference of sorted projections, of equally many images."""
    x, y = gaussian(50, 5, 11) + 0.2, gaussian(50, 5, 12)
    directions = torch.nn.functional.normalize(gaussian(64, 5, 13)).T
    projected = [(images @ directions).sort(0).values for images in (x, y)]
    expected = 3 * 5 * float((projected[0] - projected[1]).square().mean())
    assert sliced_wasserstein(x, y, directions)[0] == pytest.approx(expected, rel=1e-12)


def test_it_is_torch_fidelitys_mind_up_to_the_chance_of_its_directions() -> None:
    mind = pytest.importorskip("torch_fidelity.metric_mind", reason="this torch-fidelity has no MIND")
    x, y = gaussian(400, 12, 14) * torch.linspace(0.2, 2, 12) + 0.3, gaussian(400, 12, 15)
    settings = {"mind_num_projections": 4000, "cuda": False, "verbose": False}
    theirs = [mind.mind_features_to_metric(x, y, rng_seed=seed, **settings)[mind.KEY_METRIC_MIND] for seed in range(8)]
    spread = torch.tensor(theirs).std() / 8**0.5
    found, _ = sliced_wasserstein(x, y, orthonormal_directions(12, 48_000, rng()))
    assert abs(found - sum(theirs) / 8) < 4 * float(spread)


def test_empty_sets_are_rejected() -> None:
    with pytest.raises(ValueError, match="no features"):
        sliced_wasserstein(torch.zeros(0, 2), torch.zeros(3, 2), orthonormal_directions(2, 2, rng()))
