"""Ladder VAE: sizes, the posterior of a level, and bounds that are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from genbench_autoencoders.ladder.loss import charged_kl, combine
from torch import nn

import genbench

WIDTHS, LATENTS = (512, 256, 128, 64, 32), (64, 32, 16, 8, 4)


def test_the_networks_have_the_sizes_of_the_paper(make_networks: Callable[..., Any]) -> None:
    """Levels of 64 to 4 latents, perceptrons of two layers of 512 to 32; batch norm instead of biases."""
    networks = make_networks("ladder-vae", (1, 28, 28), 64)

    def perceptron(inputs: int, width: int) -> int:
        return inputs * width + width * width + 2 * 2 * width

    def gaussian(width: int, latents: int) -> int:
        return 2 * (width * latents + latents)

    up = sum(perceptron(inputs, width) for inputs, width in pairwise((784, *WIDTHS)))
    encoder = up + sum(gaussian(width, latents) for width, latents in zip(WIDTHS, LATENTS, strict=True))
    down = sum(perceptron(latents, width) for latents, width in zip(LATENTS, WIDTHS, strict=True))
    decoder = down + sum(gaussian(WIDTHS[i + 1], LATENTS[i]) for i in range(4)) + 512 * 784 + 784
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    assert counts == {"encoder": encoder, "decoder": decoder}


def test_the_posterior_of_a_level_is_the_normalised_product_of_two_gaussians() -> None:
    parameters = [torch.tensor(value) for value in (1.0, 0.5, -2.0, 3.0)]
    mean, variance = combine(*parameters)
    grid = torch.linspace(-15, 15, 30_001)
    first = torch.distributions.Normal(parameters[0], parameters[1].sqrt()).log_prob(grid)
    second = torch.distributions.Normal(parameters[2], parameters[3].sqrt()).log_prob(grid)
    product = (first + second).softmax(0)
    assert float(mean) == pytest.approx(float((product * grid).sum()), abs=1e-4)
    assert float(variance) == pytest.approx(float((product * (grid - mean).square()).sum()), abs=1e-4)


def test_evidence_without_precision_leaves_the_prior() -> None:
    none = torch.tensor(1e12)
    own = torch.tensor([2.0, 0.7])
    assert torch.allclose(torch.stack(combine(torch.tensor(5.0), none, *own)), own)
    assert torch.allclose(torch.stack(combine(*own, torch.tensor(5.0), none)), own)


def test_free_bits_charge_each_level_at_least() -> None:
    assert float(charged_kl(torch.tensor([0.2, 3.0]), 0.5)) == 3.5
    assert float(charged_kl(torch.tensor([0.2, 3.0]), 0.0)) == pytest.approx(3.2)


def ladder(make_family: Callable[..., Any], **loss: Any) -> Any:
    family = make_family("ladder-vae", (1, 2, 2), 4, loss, widths=[8, 6])
    family.encoder.eval(), family.decoder.eval()
    return family


def test_a_posterior_equal_to_the_prior_costs_nothing(make_family: Callable[..., Any]) -> None:
    """Evidence of N(0, I) at the highest level, and none below: log weights are -distortion for every draw."""
    family = ladder(make_family)
    for head in family.encoder.heads:
        for layer in (head.mean, head.variance):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    family.encoder.heads[0].variance.bias.data.fill_(1e9)  # no precision
    family.encoder.heads[1].variance.bias.data.fill_(math.log(math.expm1(1 - 1e-4)))  # softplus + 0.0001 = 1
    found = family.bound(torch.rand(3, 1, 2, 2), 5, torch.Generator().manual_seed(0))
    assert torch.allclose(found.rate, torch.zeros(3), atol=1e-5)
    assert torch.allclose(found.log_weights.mean(0), -found.distortion, atol=1e-4)
    assert found.mean.shape == (3, 4 + 2)


def test_the_bound_reaches_a_likelihood_that_is_known(make_family: Callable[..., Any]) -> None:
    """Where pixels ignore the latents, log p(x) is known whatever the levels do above them."""
    family = ladder(make_family, likelihood="gaussian", sigma=0.3)
    for head in family.encoder.heads:  # little evidence: where q is much narrower than p, weights have no variance
        nn.init.constant_(head.variance.bias, 5.0)
    nn.init.zeros_(family.decoder.pixels[0].weight)
    nn.init.zeros_(family.decoder.pixels[0].bias)
    images = torch.rand(4, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    exact = torch.distributions.Normal(0.5, 0.3).log_prob(images).sum((1, 2, 3))
    found = family.bound(images, 4000, torch.Generator().manual_seed(0))
    assert torch.allclose(torch.logsumexp(found.log_weights, 0) - math.log(4000), exact, atol=0.15)
    assert bool((found.log_weights.mean(0) <= exact + 0.05).all())
    assert torch.allclose(found.log_weights.mean(0), -(found.distortion + found.rate), atol=0.1)


def test_the_noise_of_all_levels_decides_the_image(make_family: Callable[..., Any]) -> None:
    family = ladder(make_family)
    noise = family.latents(3, torch.Generator().manual_seed(0))
    assert noise.shape == (3, 6)
    assert torch.equal(family.generate(noise), family.generate(noise))
    changed = noise.clone()
    changed[:, -1] += 1  # a latent of the highest level
    assert not torch.allclose(family.generate(noise), family.generate(changed))


def test_a_level_without_latents_is_refused(make_networks: Callable[..., Any]) -> None:
    with pytest.raises(genbench.GenbenchError, match=r"3 levels; with latent_dim = 2, .* the highest has no latents"):
        make_networks("ladder-vae", (1, 2, 2), 2, widths=[8, 8, 8])
