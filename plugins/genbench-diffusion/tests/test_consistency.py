"""Consistency models: the boundary, the levels of training, and what a perfect function gives."""

from __future__ import annotations

import math

import genbench_diffusion
import pytest
import torch
from genbench_diffusion import ConsistencyOptions, MultistepOptions, UNetOptions
from genbench_diffusion.consistency import Consistency, ConsistencyTraining
from genbench_diffusion.unet import build
from torch import Tensor, nn

import genbench

MODEL = next(model for model in genbench_diffusion.genbench_models() if model.name == "consistency")
TRAINING = ConsistencyTraining(ConsistencyOptions())


def family(network: nn.Module, training: ConsistencyTraining = TRAINING) -> Consistency:
    shape = (1, 4, 4)
    return Consistency(
        genbench.Setup({"denoiser": network}, training, MODEL, 1, 0, {}, torch.device("cpu"), image_shape=shape)
    )


class Random(nn.Module):
    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        return torch.sin(17 * images) + noise[:, None, None, None]


def test_an_image_with_the_lowest_noise_is_its_own_whatever_the_network_says() -> None:
    images = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    lowest = torch.full((3,), 0.002)
    torch.testing.assert_close(family(Random()).image(images, lowest), images)
    assert not torch.allclose(family(Random()).image(images, 2 * lowest + 0.1), images, atol=0.01)


def test_levels_double_from_10_to_1280_over_the_budget() -> None:
    """Song & Dhariwal 2023, equation 7: eight stages of equal length; all levels from σ_min to σ_max."""
    counts = [float(TRAINING.level_count(torch.tensor(progress))) for progress in (0, 0.12, 0.13, 0.49, 0.51, 0.999)]
    assert counts == [10, 10, 20, 80, 160, 1280]
    small = ConsistencyTraining(ConsistencyOptions(first_levels=10, last_levels=35))
    assert float(small.level_count(torch.tensor(0.999))) == 20
    assert TRAINING.level(0.0) == pytest.approx(0.002)
    assert TRAINING.level(1.0) == pytest.approx(80)


def test_levels_of_training_have_the_probability_of_the_log_normal_between_them() -> None:
    """Their equation 10: p_i ∝ erf(…ln σ_(i+1)…) - erf(…ln σ_i…)."""
    count, size = 10, 40_000
    drawn = TRAINING.draw_indices(size, torch.tensor(float(count)), torch.Generator().manual_seed(0))
    edges = [math.erf((math.log(TRAINING.level(i / count)) + 1.1) / (2 * math.sqrt(2))) for i in range(count + 1)]
    for index in range(count):
        expected = (edges[index + 1] - edges[index]) / (edges[-1] - edges[0])
        error = math.sqrt(expected * (1 - expected) / size)
        assert float((drawn == index).float().mean()) == pytest.approx(expected, abs=5 * error + 1e-4)


def test_the_distance_is_quadratic_near_0_and_linear_far_away() -> None:
    zero, c = torch.zeros(1, 1, 28, 28), 0.00054 * 28
    near, far = (zero + scale / 28 for scale in (1e-4, 1e3))  # of Euclidean length 1e-4 and 1e3
    assert float(TRAINING.distance(near.double(), zero.double())) == pytest.approx(1e-8 / (2 * c), rel=1e-3)
    assert float(TRAINING.distance(far, zero)) == pytest.approx(1e3 - c, rel=1e-5)


class Gaussian(nn.Module):
    """F of f(x; σ) = x √((σ_min² + ¼) / (σ² + ¼)), the end of the deterministic path of N(0, ½²)."""

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        sigma = (4 * noise).exp()[:, None, None, None]
        skip, out, into, _ = TRAINING.coefficients(sigma)
        x = images / into
        return (x * ((0.002**2 + 0.25) / (sigma.square() + 0.25)).sqrt() - skip * x) / out.clamp(min=1e-9)


def test_the_function_of_gaussian_data_draws_their_variance_in_one_and_in_more_steps() -> None:
    player = family(Gaussian())
    once = player.sample(4000, torch.Generator().manual_seed(0))
    twice = player.sample_with(
        genbench.Sampler("multistep", MultistepOptions(3)), 4000, torch.Generator().manual_seed(0)
    )
    for images in (once, twice):  # clamped at two standard deviations, which leaves 0.9205 of the variance
        assert float(images.std()) == pytest.approx(0.5 * math.sqrt(0.9205), rel=0.02)
    torch.testing.assert_close(
        player.sample_with(genbench.Sampler("multistep", MultistepOptions(1)), 9, torch.Generator().manual_seed(0)),
        player.sample(9, torch.Generator().manual_seed(0)),
    )


def test_only_the_noisier_of_two_levels_is_trained_and_the_loss_falls() -> None:
    torch.manual_seed(0)
    network = build((1, 8, 8), 1, 0, UNetOptions(8))["denoiser"]
    player = family(network)
    images = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(2)) * 0.2 - 0.9
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    losses = []
    for step in range(30):
        batch = genbench.Batch(images, None, torch.Generator().manual_seed(step), True, {}, torch.zeros(()))
        optimizer.zero_grad()
        objective = player.objective(batch)
        objective.total.backward()
        optimizer.step()
        losses.append(float(objective.terms["distance"].detach()))
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_conditional_models_are_refused() -> None:
    spec = genbench.ModelSpec(
        name="labelled", family="consistency", build=build, default_loss="consistency", conditional=True
    )
    with pytest.raises(genbench.GenbenchError, match="'labelled' is conditional"):
        Consistency(genbench.Setup({"denoiser": Random()}, TRAINING, spec, 1, 0, {}, torch.device("cpu")))
