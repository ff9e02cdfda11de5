"""ALI and BiGAN: sizes of the published networks, and the optimum of the joint discriminator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from genbench_autoencoders.bigan.loss import discriminator_loss, players_loss
from genbench_autoencoders.bigan.networks import Maxout


def test_the_networks_have_the_sizes_of_the_paper(make_networks: Callable[..., Any]) -> None:
    """CIFAR-10, width 32: kernels and maps of the layer table; no biases before batch norm, which has two per map."""
    networks = make_networks("ali", (3, 32, 32), 64, width=32, activation="maxout")
    encoder = [(3, 32, 5), (32, 64, 4), (64, 128, 4), (128, 256, 4), (256, 512, 4), (512, 512, 1)]
    generator = [(64, 256, 4), (256, 128, 4), (128, 64, 4), (64, 32, 4), (32, 32, 5), (32, 32, 1)]

    def normed(layers: list[tuple[int, int, int]]) -> int:
        return sum(inputs * maps * kernel**2 + 2 * maps for inputs, maps, kernel in layers)

    def doubled(layers: list[tuple[int, int, int]]) -> int:  # maxout of two maps, with biases
        return sum(2 * maps * (inputs * kernel**2 + 1) for inputs, maps, kernel in layers)

    both = [(1024, 1024, 1), (1024, 1024, 1)]
    expected = {
        "encoder": normed(encoder) + 512 * 128 + 128,
        "generator": normed(generator) + 32 * 3 + 3,
        "joint_discriminator": doubled([*encoder[:-1], (64, 512, 1), (512, 512, 1), *both]) + 1024 + 1,
    }
    assert {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()} == expected


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 64, 64)])
def test_maps_shrink_to_a_point_and_grow_back(make_networks: Callable[..., Any], shape: tuple[int, int, int]) -> None:
    networks = make_networks("ali", shape, 3, width=2)
    images = torch.rand(2, *shape)
    mean, log_variance = networks["encoder"](images)
    assert mean.shape == log_variance.shape == (2, 3)
    assert networks["generator"](mean).shape == images.shape
    assert networks["joint_discriminator"](images, mean).shape == (2, 1)


def test_maxout_takes_the_larger_of_two_neighbours() -> None:
    assert Maxout()(torch.tensor([1.0, 3.0, -2.0, -5.0]).view(1, 4, 1, 1)).flatten().tolist() == [3, -2]


def test_the_terms_have_their_closed_forms() -> None:
    zero = torch.zeros(2)
    assert float(discriminator_loss(zero, zero)) == float(players_loss(zero, zero)) == pytest.approx(2 * math.log(2))
    assert float(discriminator_loss(torch.full((2,), 50.0), torch.full((2,), -50.0))) < 1e-9


def _loss_and_gradient(slope: float, noise: float, weights: torch.Tensor) -> tuple[float, torch.Tensor]:
    """Return the loss of a discriminator with the coefficients of 1, x, z, x², xz, z², in which it is convex.

    x ~ N(0, 1), z|x ~ N(slope x, noise²) against z ~ N(0, 1), x|z ~ N(0.6 z, 0.8²): both x are N(0, 1).
    """
    rng = torch.Generator().manual_seed(0)
    x, z, first, second = torch.randn(4, 100_000, generator=rng, dtype=torch.float64)
    pairs = (x, slope * x + noise * first), (0.6 * z + 0.8 * second, z)
    features = [torch.stack([torch.ones_like(x), x, z, x * x, x * z, z * z], 1) for x, z in pairs]
    weights = weights.double().requires_grad_()
    loss = discriminator_loss(features[0] @ weights, features[1] @ weights)
    return float(loss.detach()), torch.autograd.grad(loss, weights)[0]


def test_the_best_joint_discriminator_is_the_log_ratio_of_the_joint_densities() -> None:
    """log q(x, z) - log p(x, z) of two bivariate Gaussians is a quadratic whose coefficients are known."""
    slope, noise = 0.3, 0.5
    log_q = torch.tensor([-math.log(noise), 0, 0, -0.5 - slope**2 / (2 * noise**2), slope / noise**2, -0.5 / noise**2])
    log_p = torch.tensor([-math.log(0.8), 0, 0, -0.5 / 0.64, 0.6 / 0.64, -0.5 - 0.36 / (2 * 0.64)])
    loss, gradient = _loss_and_gradient(slope, noise, log_q - log_p)
    assert float(gradient.abs().max()) < 0.01
    assert loss < 2 * math.log(2) - 0.1
    for other in (log_q, log_p - log_q, 0.5 * (log_q - log_p)):
        assert float(_loss_and_gradient(slope, noise, other)[1].abs().max()) > 0.03


def test_the_game_ends_where_the_encoder_is_the_posterior() -> None:
    """q(z|x) = N(0.6 x, 0.8²) is the posterior of the generator: the best discriminator returns 0 for every pair."""
    loss, gradient = _loss_and_gradient(0.6, 0.8, torch.zeros(6))
    assert float(gradient.abs().max()) < 0.01
    assert loss == pytest.approx(2 * math.log(2))


def test_both_players_get_the_gradient_of_their_own_objective(
    make_family: Callable[..., Any], make_batch: Callable[..., Any]
) -> None:
    """The objectives are opposite: where one pair's logit rises for the discriminator, it falls for the players."""
    family = make_family("bigan", (1, 28, 28), 3, width=2)
    batch = make_batch(4, (1, 28, 28))
    first, second = (phase.objective(batch).total for phase in family.phases())
    made = batch.shared["pass"]
    ours = torch.autograd.grad(first, made.encoded, retain_graph=True)[0]
    theirs = torch.autograd.grad(second, made.encoded, retain_graph=True)[0]
    assert bool((ours < 0).all()) and bool((theirs > 0).all())
