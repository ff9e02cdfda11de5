"""Regularised autoencoder: sizes, the terms of its loss, and densities fitted to known distributions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from genbench_autoencoders.rae.density import FittedDensity
from genbench_autoencoders.rae.loss import code_term, jacobian_term, weight_term

import genbench


def test_the_networks_have_the_published_sizes(make_networks: Callable[..., Any]) -> None:
    """The MNIST networks of pythae's reproduction: four convolutions k4 from 128 to 1,024 maps, three k3 back."""
    networks = make_networks("rae", (1, 28, 28), 16, width=128)

    def normed(inputs: int, maps: int, kernel: int) -> int:
        return inputs * maps * kernel**2 + maps + 2 * maps

    encoder = normed(1, 128, 4) + normed(128, 256, 4) + normed(256, 512, 4) + normed(512, 1024, 4) + 1024 * 16 + 16
    decoder = 16 * 1024 * 16 + 1024 * 16 + normed(1024, 512, 3) + normed(512, 256, 3) + 256 * 9 + 1
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    assert counts == {"encoder": encoder, "decoder": decoder, "density": 0}


def test_code_and_weight_terms_have_their_closed_forms() -> None:
    assert float(code_term(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))) == 6.25
    assert float(weight_term([torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])])) == 14


def test_the_jacobian_term_of_a_linear_decoder_is_half_the_squared_norm_of_its_matrix() -> None:
    rng = torch.Generator().manual_seed(0)
    matrix = torch.randn(3, 5, generator=rng).requires_grad_()
    codes = torch.randn(20_000, 3, generator=rng).requires_grad_()
    decoded = codes @ matrix
    found = jacobian_term(decoded, codes, torch.randn(decoded.shape, generator=rng))
    assert float(found.detach()) == pytest.approx(0.5 * float(matrix.detach().square().sum()), rel=0.03)
    (gradient,) = torch.autograd.grad(found, matrix)
    assert torch.allclose(gradient, matrix.detach(), rtol=0.1, atol=0.1)


def test_one_gaussian_is_recovered() -> None:
    rng = torch.Generator().manual_seed(0)
    factor = torch.tensor([[1.0, 0.0], [0.8, 0.3]])
    mean = torch.tensor([2.0, -1.0])
    density = FittedDensity(2, 1)
    for _ in range(200):
        density.observe(mean + torch.randn(200, 2, generator=rng) @ factor.T)
    covariance = factor @ factor.T
    weights, means, covariances = density.mixture()
    assert weights.tolist() == [1]
    assert torch.allclose(means[0], mean, atol=0.03) and torch.allclose(density.mean, mean, atol=0.03)
    assert torch.allclose(covariances[0], covariance, atol=0.05)
    for draw in (density.draw, density.draw_gaussian):
        drawn = draw(50_000, rng)
        assert torch.allclose(drawn.mean(0), mean, atol=0.05)
        assert torch.allclose(drawn.T.cov(), covariance, atol=0.06)


def test_a_mixture_of_two_gaussians_is_recovered() -> None:
    rng = torch.Generator().manual_seed(0)
    centres, scales = torch.tensor([[-2.0, 0.0], [2.0, 1.0]]), torch.tensor([[0.5, 1.0], [1.0, 0.3]])
    density = FittedDensity(2, 2)
    for _ in range(300):
        chosen = (torch.rand(200, generator=rng) > 0.3).long()
        density.observe(centres[chosen] + scales[chosen] * torch.randn(200, 2, generator=rng))
    weights, means, covariances = density.mixture()
    order = means[:, 0].argsort()
    assert torch.allclose(weights[order], torch.tensor([0.3, 0.7]), atol=0.03)
    assert torch.allclose(means[order], centres, atol=0.08)
    assert torch.allclose(covariances[order], torch.diag_embed(scales.square()), atol=0.1)
    drawn = density.draw(50_000, rng)
    assert float((drawn[:, 0] < 0).float().mean()) == pytest.approx(0.3 + 0.7 * 0.0228, abs=0.03)


def test_the_mixture_is_a_normalised_density() -> None:
    density = FittedDensity(1, 3)
    rng = torch.Generator().manual_seed(0)
    for _ in range(5):
        density.observe(torch.randn(50, 1, generator=rng) * 2)
    grid = torch.linspace(-30, 30, 60_001)[:, None]
    assert float(density.log_joint(grid).logsumexp(1).exp().sum() * 1e-3) == pytest.approx(1, abs=1e-3)


def test_a_component_that_no_code_belongs_to_starts_again() -> None:
    rng = torch.Generator().manual_seed(0)
    density = FittedDensity(2, 2)
    density.observe(torch.cat([torch.full((1, 2), 1e3), torch.randn(199, 2, generator=rng)]))
    for _ in range(300):
        density.observe(torch.randn(200, 2, generator=rng))
    weights, means, _ = density.mixture()
    assert bool(means.isfinite().all()) and float(means.abs().max()) < 3
    assert float(weights.min()) > 0.04


def test_the_samplers_draw_from_the_fitted_densities(make_family: Callable[..., Any]) -> None:
    """With codes of N(5, 1) and an identity for a decoder, images are the codes."""
    family = make_family("rae", (1, 28, 28), 4, width=2, components=1)
    family.decoder = torch.nn.Identity()
    rng = torch.Generator().manual_seed(0)
    for _ in range(50):
        family.density.observe(5 + torch.randn(200, 4, generator=rng))
    five = 1 / (1 + math.exp(-5))
    for name, mean in (("gaussian", five), ("standard-normal", 0.5)):
        drawn = family.sample_with(genbench.Sampler(name, None), 2000, rng)
        assert float(drawn.median()) == pytest.approx(mean, abs=0.02)
    assert float(family.sample(2000, rng).median()) == pytest.approx(five, abs=0.02)
