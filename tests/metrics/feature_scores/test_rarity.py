"""Rarity by hand, by brute force, and its relation to precision."""

from __future__ import annotations

import pytest
import torch

from genbench.metrics.feature_scores.rarity import K, rarity
from genbench.metrics.manifolds import overlap, radii


def column(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def test_a_sample_is_as_rare_as_the_smallest_ball_around_it() -> None:
    real = column(0, 1, 2, 3, 10, 20)  # third nearest others: 3, 2, 2, 3, 9, 18
    samples = column(1.5, 0.5, 6.5, 2.9, 39, 13)
    found = rarity(real, samples, radii(real, 3))
    assert found.tolist() == [2, 2, 9, 2, float("inf"), 9]


@pytest.mark.parametrize("d", [2, 12])
def test_blocks_agree_with_all_distances_at_once(d: int) -> None:
    rng = torch.Generator().manual_seed(d)
    real, samples = (torch.randn(n, d, generator=rng, dtype=torch.float64) for n in (700, 600))
    reach = torch.cdist(real, real).sort(1).values[:, K]
    inside = torch.cdist(real, samples) < reach[:, None]
    expected = torch.where(inside, reach[:, None], torch.inf).amin(0)
    torch.testing.assert_close(rarity(real, samples, radii(real, K)), expected)


def test_the_share_outside_is_what_precision_lacks() -> None:
    rng = torch.Generator().manual_seed(0)
    real, samples = (scale * torch.randn(300, 4, generator=rng, dtype=torch.float64) for scale in (1, 1.5))
    outside = float((~rarity(real, samples, radii(real, K)).isfinite()).double().mean())
    assert 0 < outside < 1
    assert 1 - outside == pytest.approx(overlap(real, samples, [], k=K).precision.value, abs=1e-12)
