"""Truncation gives the truncated prior and keeps ranks; interpolation stays where the prior has its mass."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genbench.sampling.latent_space import interpolate_latents, truncate


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("psi", [0.3, 1.0, 2.0])
def test_a_truncated_normal_has_its_variance_and_its_bounds(psi):
    cut = truncate(normal(200_000), "normal", psi).double()
    density = math.exp(-psi * psi / 2) / math.sqrt(2 * math.pi)
    mass = math.erf(psi / math.sqrt(2))
    assert cut.abs().max() <= psi
    assert float(cut.mean()) == pytest.approx(0, abs=0.01)
    assert float(cut.var()) == pytest.approx(1 - 2 * psi * density / mass, rel=0.02)


@given(st.floats(-8, 8), st.floats(-8, 8), st.floats(0.01, 10))
def test_truncation_keeps_the_order_and_the_sign(one, other, psi):
    cut = truncate(torch.tensor([one, other], dtype=torch.float64), "normal", psi)
    assert (cut[0] <= cut[1]) == (one <= other) or bool(torch.isclose(cut[0], cut[1]))
    assert cut[0] * one >= -1e-12
    assert cut.abs().max() <= psi
    assert cut.isfinite().all()


def test_a_wide_truncation_changes_nothing_and_a_uniform_prior_is_scaled():
    assert torch.allclose(truncate(normal(1000), "normal", 30.0), normal(1000), atol=1e-5)
    uniform = torch.rand(1000) * 2 - 1
    assert torch.equal(truncate(uniform, "uniform", 0.5), uniform * 0.5)
    assert truncate(normal(3).half(), "normal", 0.5).dtype == torch.float16


@pytest.mark.parametrize(
    ("prior", "psi"), [("normal", 0), ("normal", -1), ("uniform", 1.5), ("normal", math.nan), ("normal", math.inf)]
)
def test_an_invalid_truncation_is_refused(prior, psi):
    with pytest.raises(ValueError, match="psi must be above 0"):
        truncate(normal(4), prior, psi)


def test_orthogonal_unit_vectors_meet_half_way_at_45_degrees():
    one, other = torch.eye(2)
    assert torch.allclose(interpolate_latents(one, other, 3, "normal")[1], torch.full((2,), math.sqrt(0.5)))


@given(st.integers(2, 12), st.integers(0, 50))
def test_both_ends_are_included_and_steps_are_equal(steps, seed):
    one, other = normal(2, 3, 4, seed=seed)
    one, other = one / one.norm(), other / other.norm()
    path = interpolate_latents(one, other, steps, "normal")
    assert path.shape == (steps, 3, 4)
    assert torch.allclose(path[0], one, atol=1e-6)
    assert torch.allclose(path[-1], other, atol=1e-6)
    assert torch.allclose(path.flatten(1).norm(dim=1), torch.ones(steps), atol=1e-5)
    gaps = (path[1:] - path[:-1]).flatten(1).norm(dim=1)
    assert torch.allclose(gaps, gaps[:1].expand_as(gaps), atol=1e-5)


def test_only_the_great_circle_keeps_the_norm_of_the_prior_half_way():
    one, other = normal(2, 512)
    middle = interpolate_latents(one, other, 3, "normal")[1].norm()
    straight = interpolate_latents(one, other, 3, "uniform")[1].norm()
    assert float(middle) == pytest.approx(math.sqrt(512), rel=0.1)
    assert float(straight) == pytest.approx(math.sqrt(256), rel=0.1)


def test_equal_and_opposite_latents_give_no_nan():
    one = normal(16)
    assert torch.allclose(interpolate_latents(one, one, 5, "normal"), one.expand(5, 16), atol=1e-5)
    assert interpolate_latents(one, -one, 5, "normal").isfinite().all()
    assert interpolate_latents(one * 0, one, 5, "normal").isfinite().all()
