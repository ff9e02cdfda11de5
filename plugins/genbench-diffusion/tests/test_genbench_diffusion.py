"""Diffusion: closed forms of Gaussian data, identities of the formulations and samplers, and a run."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import genbench_diffusion
import pytest
import torch
import warm
from genbench_diffusion import (
    ConditionalOptions,
    DDIMOptions,
    DDPMOptions,
    DDPMUNetOptions,
    EDMOptions,
    FlowOptions,
    HeunOptions,
    SamplerOptions,
    SolverOptions,
    UNetOptions,
    ddpm_unet,
)
from genbench_diffusion import unet as small_unet
from genbench_diffusion.bound import level_loss
from genbench_diffusion.family import Diffusion
from genbench_diffusion.formulations import DDPM, EDM, FlowMatching, Formulation, VPrediction
from genbench_diffusion.sampler import ddim, dpm_solver, heun
from torch import Tensor, nn

import genbench

MODELS = {model.name: model for model in genbench_diffusion.genbench_models()}
MODEL = MODELS["diffusion"]
FORMULATIONS = [EDM(EDMOptions()), DDPM(DDPMOptions()), VPrediction(SamplerOptions()), FlowMatching(FlowOptions())]
every_formulation = pytest.mark.parametrize("loss", FORMULATIONS, ids=["edm", "ddpm", "v-prediction", "flow-matching"])
CPU = torch.device("cpu")


class Silent(nn.Module):
    """F = 0: by EDM's coefficients, the perfect denoiser of Gaussian data whose standard deviation is σ_data."""

    def forward(self, images: Tensor, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.zeros_like(images)


def family(
    loss: Any, network: nn.Module, shape: genbench.Shape = (1, 4, 4), model: str = "diffusion", classes: int = 0
) -> Diffusion:
    networks, recipe = {"denoiser": network}, {"precision": "fp32"}
    setup = genbench.Setup(networks, loss, MODELS[model], 1, classes, recipe, CPU, image_shape=shape)
    return Diffusion(setup)


def unet(shape: genbench.Shape = (1, 28, 28), width: int = 8) -> nn.Module:
    torch.manual_seed(0)
    return small_unet.build(shape, 1, 0, UNetOptions(width))["denoiser"]


def batch(images: Tensor, seed: int = 0) -> genbench.Batch:
    return genbench.Batch(images, None, torch.Generator().manual_seed(seed), True, {})


@pytest.mark.parametrize("sigma_data", [0.25, 0.5])
def test_the_perfect_denoiser_of_gaussian_data_draws_data_of_their_variance(sigma_data: float) -> None:
    """The path is x(σ) = x(σ_max) √((σ² + σ_d²) / (σ_max² + σ_d²)): it ends at σ_d · noise, nearly."""
    edm = EDM(EDMOptions(sigma_data=sigma_data, steps=64))
    noise = torch.randn(2000, 1, 4, 4, generator=torch.Generator().manual_seed(0)) / 8  # nothing is clamped
    images = family(edm, Silent()).generate(noise)
    exact = sigma_data * 80 / math.sqrt(80**2 + sigma_data**2)
    torch.testing.assert_close(images, exact * noise, rtol=5e-3, atol=1e-6)
    assert images.std() == pytest.approx(sigma_data / 8, rel=0.01)


def gaussian_denoiser(x: Tensor, sigma: float) -> Tensor:
    """The perfect denoiser of N(0, ½²)."""
    return 0.25 / (0.25 + sigma**2) * x


@pytest.mark.parametrize(
    ("solve", "order"), [(heun, 2), (dpm_solver, 2), (lambda d, x, s: ddim(d, x, s, 0.0, torch.Generator()), 1)]
)
def test_the_error_of_the_path_falls_with_its_order(solve: Any, order: int) -> None:
    """Of the path x(σ) = x(σ_max) √((σ² + ¼) / (σ_max² + ¼)), from 80 down to 0.5."""

    def error(steps: int) -> float:
        levels = [80 * (0.5 / 80) ** (step / steps) for step in range(steps + 1)]
        end = solve(gaussian_denoiser, torch.ones((), dtype=torch.float64), levels)
        return abs(float(end) / (80 * math.sqrt((0.25 + 0.25) / (80**2 + 0.25))) - 1)

    assert error(100) / error(200) == pytest.approx(2**order, rel=0.1)


def test_eighteen_steps_end_within_7_percent_of_the_gaussian_path() -> None:
    levels = EDM(EDMOptions(sigma_min=1e-4)).levels(18)
    end = heun(gaussian_denoiser, torch.ones((), dtype=torch.float64), levels)
    assert abs(float(end) / (0.5 * 80 / math.sqrt(80**2 + 0.25)) - 1) < 0.07


def test_n_steps_evaluate_the_network_2n_minus_1_times_and_end_without_noise() -> None:
    asked: list[float] = []

    def denoise(images: Tensor, level: float) -> Tensor:
        asked.append(level)
        return torch.full_like(images, 0.5)

    levels = EDM(EDMOptions()).levels(18)
    for solve in (dpm_solver, lambda d, x, s: ddim(d, x, s, 0.0, torch.Generator())):
        solve(denoise, torch.randn(3, 1, 2, 2), levels)
    assert len(asked) == 2 * 18
    asked.clear()
    images = heun(denoise, torch.randn(3, 1, 2, 2), levels)
    assert len(asked) == 2 * 18 - 1
    assert (levels[0], levels[-2], levels[-1]) == (pytest.approx(80), pytest.approx(0.002), 0.0)
    assert levels == sorted(levels, reverse=True)
    torch.testing.assert_close(images, torch.full((3, 1, 2, 2), 0.5))


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_new_noise_replaces_old_noise_of_the_same_variance(eta: float) -> None:
    """With the perfect denoiser of Gaussian data, x has the variance σ² + σ_d² at each level, however η divides it."""
    edm = EDM(EDMOptions(sigma_data=0.5))
    noise = torch.randn(4000, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    sampler = genbench.Sampler("ddim", DDIMOptions(steps=400, eta=eta))
    player = family(edm, Silent())
    player._in_range = lambda images: images  # type: ignore[method-assign]  # nothing is clamped
    images = player.sample_with(sampler, len(noise), torch.Generator().manual_seed(0))
    assert images.std() == pytest.approx(0.5, rel=0.02)
    correlation = float((images * noise).mean() / (images.std() * noise.std()))
    assert correlation == pytest.approx(1 if eta == 0 else 0, abs=0.02 if eta == 0 else 0.6)
    assert eta < 1 or abs(correlation) < 0.05


def test_a_step_of_ddpm_has_the_variance_of_its_posterior() -> None:
    """With η = 1 and a denoiser that is certain, x' ~ N(D + σ'²/σ² (x - D), σ'² (σ² - σ'²) / σ²)."""
    start, level, following, image = torch.full((20_000,), 3.0), 2.0, 1.5, 1.0
    rng = torch.Generator().manual_seed(0)

    def denoise(images: Tensor, sigma: float) -> Tensor:
        return torch.full_like(images, image)

    seen: list[Tensor] = []
    ddim(lambda x, s: (seen.append(x), denoise(x, s))[1], start / level, [level, following, 0.0], 1.0, rng)
    ratio = following**2 / level**2
    assert float(seen[1].mean()) == pytest.approx(image + ratio * (3.0 - image), abs=0.02)
    assert float(seen[1].var()) == pytest.approx(following**2 * (1 - ratio), rel=0.03)


def test_samplers_draw_from_the_weights_and_the_noise_of_the_default_one() -> None:
    player = family(EDM(EDMOptions(steps=5)), Silent())
    own = player.sample(3, torch.Generator().manual_seed(1))
    heun = genbench.Sampler("heun", HeunOptions(steps=5))
    torch.testing.assert_close(player.sample_with(heun, 3, torch.Generator().manual_seed(1)), own)
    other = genbench.Sampler("heun", HeunOptions(steps=9))
    assert not torch.allclose(player.sample_with(other, 3, torch.Generator().manual_seed(1)), own)


def test_without_new_noise_ddim_depends_on_its_latents_alone() -> None:
    player = family(DDPM(DDPMOptions()), unet((1, 8, 8)), (1, 8, 8))
    noise = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    levels = player.formulation.levels(4)

    def draw(eta: float, seed: int) -> Tensor:
        with torch.inference_mode():
            return ddim(player._predict, noise, levels, eta, torch.Generator().manual_seed(seed))

    torch.testing.assert_close(draw(0.0, 1), draw(0.0, 2), rtol=0, atol=0)
    assert not torch.allclose(draw(0.5, 1), draw(0.5, 2), atol=1e-3)


@every_formulation
def test_with_the_perfect_denoiser_of_gaussian_data_every_loss_draws_their_variance(loss: Formulation) -> None:
    """F follows from D = σd² / (σ² + σd²) x, whatever the loss makes it predict."""
    player = family(loss, Silent())
    player.denoise = lambda images, sigma, labels=None: 0.09 / (0.09 + sigma**2) * images  # type: ignore[method-assign]
    noise = torch.randn(2000, 1, 4, 4, generator=torch.Generator().manual_seed(0)) / 4  # nothing is clamped
    images = heun(player._predict, noise, loss.levels(100))
    torch.testing.assert_close(images, 0.3 * noise, rtol=0.02, atol=1e-5)


def test_one_step_is_exact_where_paths_are_straight() -> None:
    """All data in one point: the velocity ε - y does not change along the path, so each sampler ends in y."""
    flow = FlowMatching(FlowOptions())
    noise = torch.randn(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    for solve in (heun, dpm_solver, lambda d, x, s: ddim(d, x, s, 0.0, torch.Generator())):
        for steps in (1, 3):
            ends = solve(lambda x, sigma: torch.full_like(x, 0.4), noise, flow.levels(steps))
            torch.testing.assert_close(ends, torch.full_like(noise, 0.4))


def test_ddim_takes_the_steps_of_euler_along_the_flow() -> None:
    """z(t') = z(t) + (t' - t) v for z = c_in x = (1 - t) x, with v = F."""
    flow = FlowMatching(FlowOptions())

    def velocity(z: Tensor, time: float) -> Tensor:
        return torch.sin(3 * z) + time

    def denoise(x: Tensor, sigma: float) -> Tensor:
        skip, out, into, time = flow.coefficients(torch.tensor(sigma, dtype=torch.float64))
        return skip * x + out * velocity(into * x, float(time))

    levels = flow.levels(7)
    times = [level / (1 + level) for level in levels]
    x = torch.linspace(-1, 1, 5, dtype=torch.float64) * levels[0]
    z = x * (1 - times[0])
    for time, following in itertools.pairwise(times):
        z = z + (following - time) * velocity(z, time)
    torch.testing.assert_close(ddim(denoise, x / levels[0], levels, 0.0, torch.Generator()), z)
    assert [a - b for a, b in itertools.pairwise(times)] == pytest.approx([times[0] / 7] * 7)


SIGMA = torch.tensor([1e-3, 0.1, 0.5, 3.0, 80.0], dtype=torch.float64)


@pytest.mark.parametrize("data", [0.5, 1.0])
def test_inputs_and_targets_of_edm_have_unit_variance_at_every_level(data: float) -> None:
    edm = EDM(EDMOptions(sigma_data=data))
    skip, out, into, noise = edm.coefficients(SIGMA)
    one = torch.ones_like(SIGMA)
    torch.testing.assert_close(into.square() * (SIGMA**2 + data**2), one)
    # The target of F is (y - c_skip (y + n)) / c_out.
    torch.testing.assert_close(((1 - skip).square() * data**2 + (skip * SIGMA).square()) / out.square(), one)
    torch.testing.assert_close(edm.weight(SIGMA) * out.square(), one)
    torch.testing.assert_close(noise, SIGMA.log() / 4)
    torch.testing.assert_close(skip[:1], one[:1], atol=1e-5, rtol=0)  # hardly any noise: D(x) = x


def test_ddpm_sees_a_mixture_of_unit_weights_and_its_loss_is_the_error_of_the_noise() -> None:
    ddpm = DDPM(DDPMOptions())
    skip, out, into, time = ddpm.coefficients(SIGMA)
    torch.testing.assert_close(into.square() + (into * SIGMA).square(), torch.ones_like(SIGMA))  # ᾱ + (1 - ᾱ)
    torch.testing.assert_close(ddpm.level_at(time), SIGMA)
    image, noise, said = 0.3, -1.1, 0.7
    denoised = skip * (image + SIGMA * noise) + out * said
    error = ddpm.weight(SIGMA) * (denoised - image).square()
    torch.testing.assert_close(error, torch.full_like(SIGMA, (noise - said) ** 2))


def test_v_prediction_and_flow_matching_measure_the_error_of_what_they_predict() -> None:
    image, noise, said = 0.3, -1.1, 0.7
    for loss, rotated in ((VPrediction(SamplerOptions()), True), (FlowMatching(FlowOptions()), False)):
        skip, out, into, time = loss.coefficients(SIGMA)
        target = into * noise - into * SIGMA * image if rotated else torch.full_like(SIGMA, noise - image)
        sees = into * (image + SIGMA * noise)
        expected = (torch.cos, torch.sin) if rotated else (lambda t: 1 - t, lambda t: t)
        scale = math.pi / 2 if rotated else 1
        torch.testing.assert_close(sees, expected[0](scale * time) * image + expected[1](scale * time) * noise)
        error = loss.weight(SIGMA) * (skip * (image + SIGMA * noise) + out * said - image).square()
        torch.testing.assert_close(error, (target - said).square())


def test_v_prediction_is_edm_of_unit_variance_up_to_sign() -> None:
    ours, theirs = VPrediction(SamplerOptions()).coefficients(SIGMA), EDM(EDMOptions(sigma_data=1)).coefficients(SIGMA)
    for one, other in zip(ours[:3], (theirs.skip, -theirs.out, theirs.into), strict=True):
        torch.testing.assert_close(one, other)


def test_times_of_training_are_uniform_or_the_sigmoid_of_a_normal() -> None:
    rng = torch.Generator().manual_seed(0)
    levels = VPrediction(SamplerOptions()).draw_levels(20_000, rng)
    assert float((levels < math.tan(math.pi / 8)).float().mean()) == pytest.approx(0.25, abs=0.02)
    levels = FlowMatching(FlowOptions()).draw_levels(20_000, rng)
    assert float((levels < 1 / 3).float().mean()) == pytest.approx(0.25, abs=0.02)
    odds = FlowMatching(FlowOptions(times="logit-normal")).draw_levels(20_000, rng).log()
    assert (float(odds.mean()), float(odds.std())) == pytest.approx((0, 1), abs=0.03)


def test_optimal_transport_is_the_permutation_of_least_cost() -> None:
    flow = FlowMatching(FlowOptions(coupling="optimal-transport"))
    rng = torch.Generator().manual_seed(0)
    images, noise = torch.rand(6, 1, 3, 3, generator=rng), torch.randn(6, 1, 3, 3, generator=rng)
    paired = flow.pair(images, noise)
    costs = {order: float((images - noise[list(order)]).square().sum()) for order in itertools.permutations(range(6))}
    assert float((images - paired).square().sum()) == pytest.approx(min(costs.values()), rel=1e-5)
    torch.testing.assert_close(paired.flatten(1).sort(0).values, noise.flatten(1).sort(0).values)
    torch.testing.assert_close(FlowMatching(FlowOptions()).pair(images, noise), noise)
    with pytest.raises(genbench.GenbenchError, match="make the noise depend on the label"):
        family(flow, Silent(), model="conditional-diffusion", classes=2)


class Labelled(nn.Module):
    """F depends on the label alone: ½, -½, and 0 if it is hidden."""

    label_dropout = 0.25

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        self.seen.append(labels)
        return torch.tensor([0.5, -0.5, 0.0])[labels][:, None, None, None].expand_as(images)


def test_guidance_of_0_ignores_the_label_of_1_is_the_model_and_of_2_exaggerates() -> None:
    network = Labelled()
    player = family(EDM(EDMOptions(sigma_data=1)), network, model="conditional-diffusion", classes=2)
    images, labels = torch.zeros(2, 1, 1, 1), torch.tensor([0, 1])
    ends = [player._predict(images, 1.0, labels, weight).flatten() for weight in (0.0, 1.0, 2.0)]
    out = 1 / math.sqrt(2)
    for end, expected in zip(ends, (0.0, 0.5, 1.0), strict=True):
        torch.testing.assert_close(end, torch.tensor([expected, -expected]) * out)
    assert len(network.seen) == 1 + 1 + 2  # only other weights take two evaluations
    rng = torch.Generator().manual_seed(0)
    heun_options = HeunOptions(steps=3)
    drawn = player.sample_with(genbench.Sampler("heun", heun_options), 2, rng, labels)
    assert drawn.shape == (2, 1, 4, 4)
    with pytest.raises(genbench.GenbenchError, match="has no labels, so its samples cannot be guided"):
        family(EDM(EDMOptions()), Silent()).sample_with(
            genbench.Sampler("dpm-solver", SolverOptions(guidance=2.0)), 1, rng
        )


def test_a_share_of_labels_is_hidden_in_training() -> None:
    network = Labelled()
    player = family(EDM(EDMOptions()), network, model="conditional-diffusion", classes=2)
    labels = torch.zeros(2000, dtype=torch.int64)
    player.objective(genbench.Batch(torch.zeros(2000, 1, 1, 1), labels, torch.Generator().manual_seed(0), True, {}))
    assert float((network.seen[0] == 2).float().mean()) == pytest.approx(0.25, abs=0.04)
    assert set(network.seen[0].tolist()) == {0, 2}


def test_a_hidden_label_has_a_vector_of_its_own() -> None:
    torch.manual_seed(0)
    network = small_unet.build_conditional((1, 28, 28), 1, 3, ConditionalOptions(8))["denoiser"]
    assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in unet().parameters()) + 4 * 32
    images, noise = torch.randn(1, 1, 28, 28).expand(4, -1, -1, -1), torch.zeros(4)
    predicted = network(images, noise, torch.arange(4))
    assert len({float(each.detach().sum()) for each in predicted}) == 4


@pytest.mark.parametrize("std", [0.1, 0.25])
def test_the_bound_of_gaussian_data_is_their_entropy(std: float) -> None:
    """log₂(σ √(2πe) / w) bits per value of levels w = 2/255 apart, since the perfect denoiser leaves no gap."""
    player = family(EDM(EDMOptions(sigma_data=std)), Silent(), (1, 8, 8))
    rng = torch.Generator().manual_seed(0)
    levels = (127.5 + 127.5 * std * torch.randn(64, 1, 8, 8, generator=rng)).round()
    images = levels / 127.5 - 1
    bound = player.bound(images, 32, rng)
    bits = -bound.log_weights.mean(0) / (64 * math.log(2))
    entropy = math.log2(std * math.sqrt(2 * math.pi * math.e) * 127.5)
    assert float(bits.mean()) == pytest.approx(entropy, abs=4 * float(bits.std()) / 8)
    assert float(bits.std()) / 8 < 0.05
    assert not bound.importance
    assert bound.mean is None


def test_a_denoiser_of_another_variance_takes_more_bits() -> None:
    rng = torch.Generator().manual_seed(0)
    images = ((127.5 + 25.5 * torch.randn(32, 1, 8, 8, generator=rng)).round()) / 127.5 - 1
    takes = [
        -float(family(EDM(EDMOptions(sigma_data=std)), Silent(), (1, 8, 8)).bound(images, 64, rng).log_weights.mean())
        for std in (0.1, 0.2, 0.4)
    ]
    assert takes[1] < min(takes[0], takes[2]) - 5


def test_the_probabilities_of_the_256_levels_sum_to_1() -> None:
    """exp(-level_loss) of every level, given the same noisy value."""
    spacing, sigma = 2 / 255, 0.01
    value, low = 0.1234, -1.0
    levels = low + spacing * torch.arange(256, dtype=torch.float64).view(256, 1, 1, 1)
    losses = level_loss(levels, (value - levels) / sigma, sigma, spacing, low)
    assert float((-losses).exp().sum()) == pytest.approx(1, rel=1e-6)


def test_ddpm_ends_where_a_thousand_steps_of_the_paper_end() -> None:
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    levels = ((1 - betas).cumprod(0).reciprocal() - 1).sqrt()
    times = torch.arange(1, 1001, dtype=torch.float64) / 1000
    ours = DDPM(DDPMOptions()).level_at(times)
    assert ((ours / levels).log().abs()[20:] < 0.06).all()


def test_levels_of_training_are_log_normal() -> None:
    levels = EDM(EDMOptions()).draw_levels(20_000, torch.Generator().manual_seed(0)).log()
    assert float(levels.mean()) == pytest.approx(-1.2, abs=0.03)
    assert float(levels.std()) == pytest.approx(1.2, abs=0.03)


def test_a_network_that_returns_zero_has_a_loss_of_one_on_gaussian_data() -> None:
    images = 0.5 * torch.randn(4000, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    total = family(EDM(EDMOptions()), Silent()).objective(batch(images)).total
    assert float(total) == pytest.approx(1, abs=0.02)


@every_formulation
def test_every_parameter_learns_and_the_loss_falls(loss: Formulation) -> None:
    network = unet((1, 8, 8))
    player = family(loss, network, (1, 8, 8))
    images = torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(2)) * 0.2 - 0.9
    player.objective(batch(images)).total.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    first = player.objective(batch(images)).total.item()
    for step in range(30):
        optimizer.zero_grad()
        player.objective(batch(images, step)).total.backward()
        optimizer.step()
    assert player.objective(batch(images)).total.item() < 0.7 * first


class Wrong(nn.Module):
    """Predict images of value 10 for noise above 10, and denoise Gaussian data correctly below."""

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        return torch.where(noise[:, None, None, None] > math.log(10) / 4, 20.0, torch.zeros_like(images))


def test_a_network_that_is_far_off_at_high_noise_does_not_carry_images_away() -> None:
    """Down to σ = 10 images drift by 7/8 of the prediction, at most 1; of that, σ_d / 10 remains in the end."""
    noise = torch.randn(200, 1, 4, 4, generator=torch.Generator().manual_seed(0)) / 8
    images = family(EDM(EDMOptions(steps=64)), Wrong()).generate(noise)
    assert float(images.mean() - 0.5 * noise.mean()) == pytest.approx(0.5 / 10 * 7 / 8, rel=0.1)


@pytest.mark.parametrize(
    ("shape", "parameters"), [((1, 28, 28), 670_241), ((3, 32, 32), 671_395), ((3, 64, 64), 934_819)]
)
def test_parameter_counts(shape: genbench.Shape, parameters: int) -> None:
    network = small_unet.build(shape, 1, 0, UNetOptions())["denoiser"]
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_the_network_of_ddpm_has_the_layers_and_the_size_of_the_paper() -> None:
    """Counted from the layer table of its docstring, for CIFAR-10: 35.7 million (Ho et al. 2020, appendix B)."""
    w, time = 128, 512

    def block(inputs: int, outputs: int) -> int:
        shortcut = (inputs + 1) * outputs if inputs != outputs else 0
        return 2 * inputs + (9 * inputs + 1) * outputs + (time + 1) * outputs + 2 * outputs + _conv(outputs) + shortcut

    def attention(channels: int) -> int:
        return 2 * channels + 4 * (channels + 1) * channels

    def _conv(channels: int) -> int:
        return (9 * channels + 1) * channels

    total = (w + 1) * time + (time + 1) * time + (9 * 3 + 1) * w
    for inputs, outputs, attends in ((w, w, 0), (w, 2 * w, 1), (2 * w, 2 * w, 0), (2 * w, 2 * w, 0)):
        total += block(inputs, outputs) + block(outputs, outputs) + attends * 2 * attention(outputs)
    total += _conv(w) + 2 * _conv(2 * w)  # to coarser resolutions
    total += 2 * block(2 * w, 2 * w) + attention(2 * w)
    skips = [w, w, w, w, 2 * w, 2 * w, 2 * w, 2 * w, 2 * w, 2 * w, 2 * w, 2 * w]
    hidden = 2 * w
    for outputs, attends in ((2 * w, 0), (2 * w, 0), (2 * w, 1), (w, 0)):
        for _ in range(3):
            total += block(hidden + skips.pop(), outputs) + attends * attention(outputs)
            hidden = outputs
    total += 3 * _conv(2 * w) + 2 * w + (9 * w + 1) * 3  # to finer resolutions, and the head
    network = ddpm_unet.build((3, 32, 32), 1, 0, DDPMUNetOptions(width=w))["denoiser"]
    assert not skips
    assert sum(p.numel() for p in network.parameters()) == total == 35_746_307


@pytest.mark.parametrize("size", [28, 32, 64, 128])
def test_every_pixel_of_ddpm_sees_the_whole_image_and_the_time(size: int) -> None:
    torch.manual_seed(0)
    network = ddpm_unet.build((1, size, size), 1, 0, DDPMUNetOptions(width=8, blocks=1))["denoiser"]
    images = torch.randn(1, 1, size, size, requires_grad=True)
    network(images, torch.tensor([0.3]))[0, 0, 0, 0].backward()
    assert images.grad is not None
    assert (images.grad != 0).all()
    assert not torch.allclose(network(images, torch.tensor([0.3])), network(images, torch.tensor([0.31])))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 64, 64), (3, 128, 128)])
@pytest.mark.parametrize("loss", [EDM(EDMOptions()), FlowMatching(FlowOptions())], ids=["edm", "flow-matching"])
def test_images_of_every_shape_lie_in_the_range_and_follow_from_their_latents(loss: Any, shape: genbench.Shape) -> None:
    player = family(loss, unet(shape), shape)
    player.formulation.steps = 2
    assert isinstance(player, genbench.LatentFamily)
    with torch.inference_mode():
        latents = player.latents(2, torch.Generator().manual_seed(3))
        images = player.generate(latents)
        again = player.sample(2, torch.Generator().manual_seed(3))
    assert images.shape == (2, *shape)
    assert images.abs().max() <= 1
    torch.testing.assert_close(again, images)


def test_other_losses_are_refused() -> None:
    with pytest.raises(TypeError, match="creates one of its formulations, not NoneType"):
        family(None, Silent())


def test_the_specs_import_no_torch() -> None:
    code = "import sys, genbench_diffusion as g; list(g.genbench_models()); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_reports_the_cost_of_a_sample(tmp_path: Path) -> None:
    out = tmp_path / "run"
    sets = ["--set", "diffusion.width=8", "--set", "edm.steps=4"]
    asked = [
        "--models",
        "diffusion",
        "--profile",
        "smoke",
        "--metrics",
        "diversity",
        "--samples",
        "8",
        "--images",
        "96",
    ]
    asked += ["--samplers", "ddim:steps=3,dpm-solver:steps=5"]
    command = ["run", *asked, *sets, "--out", str(out)]
    done = warm.command(*command)
    assert done.returncode == 0, done.stderr
    (file,) = (out / "cells").glob("diffusion-*.json")
    cell = json.loads(file.read_text())
    assert cell["status"] == "ok"
    assert cell["proof"]["trained"]
    assert cell["sampling"]["weights"] == "averaged"
    # Training is one pass forwards and two backwards, less parts that need no gradient; a sample is 2·4 - 1 passes.
    assert cell["flops_per_sample"] / cell["flops_per_image"] == pytest.approx(7 / 3, rel=0.02)
    assert cell["evaluations_per_sample"] == 2 * 4 - 1
    assert cell["sampler_evaluations"] == {"ddim:steps=3": 3, "dpm-solver:steps=5": 5}
    assert "NFE by ddim:steps=3" in (out / "table.csv").read_text()
    assert cell["samples_per_second"] > 0
