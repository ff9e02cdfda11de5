"""VampPrior: sizes, the mixture, and bounds whose prior is a known Gaussian."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from genbench_autoencoders.bound import kl_between_normals, kl_weight, log_normal
from genbench_autoencoders.vamp import BoundOptions
from genbench_autoencoders.vamp.prior import Mixture, rate
from torch import Tensor, nn


def test_the_networks_have_the_sizes_of_the_paper(make_networks: Callable[..., Any]) -> None:
    """Two gated layers of 300, 40 latents, 500 pseudo-inputs; a gated layer is two dense ones."""
    networks = make_networks("vamp-vae", (1, 28, 28), 40)

    def dense(inputs: int, outputs: int) -> int:
        return inputs * outputs + outputs

    expected = {
        "encoder": 2 * dense(784, 300) + 2 * dense(300, 300) + 2 * dense(300, 40),
        "decoder": 2 * dense(40, 300) + 2 * dense(300, 300) + dense(300, 784),
        "pseudo_inputs": 500 * 784,
    }
    assert {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()} == expected


def test_the_kl_of_gaussians_has_its_closed_form() -> None:
    one, four = torch.tensor(1.0), torch.tensor(4.0)
    assert float(kl_between_normals(one, one, one, one)) == 0
    # KL(N(1, 1) ‖ N(3, 4)) = ½ (log 4 + (1 + 4)/4 - 1)
    assert float(kl_between_normals(one, one, torch.tensor(3.0), four)) == pytest.approx(0.5 * (math.log(4) + 0.25))


def test_the_mixture_is_normalised() -> None:
    prior = Mixture(torch.tensor([[-1.0], [2.0], [4.0]]), torch.tensor([[0.2], [1.0], [3.0]]))
    grid = torch.linspace(-20, 25, 45_001)[:, None]
    assert float(prior.log_density(grid).exp().sum() * 1e-3) == pytest.approx(1, abs=1e-4)
    drawn = prior.draw(200_000, torch.Generator().manual_seed(0))
    assert float(drawn.mean()) == pytest.approx(5 / 3, abs=0.02)


def test_one_component_is_a_gaussian() -> None:
    mean, variance = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, 2.0]])
    prior = Mixture(mean, variance)
    latents = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    expected = torch.distributions.Normal(mean[0], variance[0].sqrt()).log_prob(latents).sum(1)
    assert torch.allclose(prior.log_density(latents), expected, atol=1e-5)
    own_mean, own_variance = torch.zeros(3, 2), torch.ones(3, 2)
    exact = kl_between_normals(own_mean, own_variance, mean, variance).sum(1)
    assert torch.allclose(prior.largest_kl(own_mean, own_variance), exact, atol=1e-5)


@pytest.mark.parametrize("distance", [0.05, 0.5, 3.0])
def test_the_estimate_of_the_rate_is_unbiased(distance: float) -> None:
    """One component N(d, 1) and q = N(0, 1): KL = d²/2, whether the control variate is used or not."""
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    prior = Mixture(torch.full((1, 1), distance), one)
    latents = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    ratios = (log_normal(latents, zero, one).sum(1) - prior.log_density(latents))[:, None]
    assert float(rate(ratios, prior.largest_kl(zero, one))) == pytest.approx(distance**2 / 2, rel=0.02, abs=1e-4)
    few = rate(ratios[:64].T.reshape(4, 16), prior.largest_kl(zero, one).expand(16))
    if distance < 1:
        assert bool((few >= 0).all())


class Constant(nn.Module):
    """An encoder that returns the same Gaussian for every image."""

    def __init__(self, mean: Tensor, log_variance: Tensor) -> None:
        super().__init__()
        self.mean, self.log_variance = mean, log_variance

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return self.mean.expand(len(images), -1), self.log_variance.expand(len(images), -1)


def test_the_bound_uses_the_learned_prior_exactly(make_family: Callable[..., Any]) -> None:
    """All posteriors are equal to the prior: its divergence vanishes, and a log weight is -distortion."""
    family = make_family("vamp-vae", (1, 4, 4), 2, hidden=4, pseudo_inputs=3)
    family.encoder = Constant(torch.tensor([[1.0, -1.0]]), torch.tensor([[0.3, -0.5]]))
    found = family.bound(torch.rand(5, 1, 4, 4), 7, torch.Generator().manual_seed(0))
    assert torch.allclose(found.rate, torch.zeros(5), atol=1e-5)
    assert torch.allclose(found.log_weights.mean(0), -found.distortion, atol=1e-4)


def test_the_bound_holds_for_a_gaussian_whose_entropy_is_known(make_family: Callable[..., Any]) -> None:
    """Where the decoder ignores z, log p(x) is known, and the importance-weighted bound of the model reaches it."""
    family = make_family("vamp-vae", (1, 1, 2), 2, {"likelihood": "gaussian", "sigma": 0.2}, hidden=4, pseudo_inputs=3)
    family.decoder = nn.Sequential(nn.Linear(2, 2), nn.Unflatten(1, (1, 1, 2)))
    nn.init.zeros_(family.decoder[0].weight)
    nn.init.zeros_(family.decoder[0].bias)  # the decoded mean is ½
    images = torch.rand(4, 1, 1, 2, generator=torch.Generator().manual_seed(0))
    exact = torch.distributions.Normal(0.5, 0.2).log_prob(images).sum((1, 2, 3))
    found = family.bound(images, 4000, torch.Generator().manual_seed(0))
    reached = torch.logsumexp(found.log_weights, 0) - math.log(4000)
    assert torch.allclose(reached, exact, atol=0.1)
    assert bool((found.log_weights.mean(0) <= exact + 0.05).all())


def test_the_weight_of_the_divergence_rises() -> None:
    options = BoundOptions(likelihood="bernoulli", sigma=1.0, beta=2.0, warm_up=0.5)
    weights = [float(kl_weight(options, torch.tensor(done), torch.device("cpu"))) for done in (0.0, 0.25, 0.5, 0.9)]
    assert weights == [0, 1, 2, 2]
