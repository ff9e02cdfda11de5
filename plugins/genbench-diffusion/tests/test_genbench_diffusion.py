"""Diffusion: closed forms of Gaussian data, identities of the formulations, and a run with a built-in model."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import genbench_diffusion
import pytest
import torch
from genbench_diffusion import DDIMOptions, DDPMOptions, EDMOptions, HeunOptions, UNetOptions
from genbench_diffusion.family import Diffusion
from genbench_diffusion.formulations import DDPM, EDM, sampling_levels
from genbench_diffusion.sampler import denoise_in_steps, follow
from genbench_diffusion.unet import build
from torch import Tensor, nn

import genbench

(MODEL,) = genbench_diffusion.genbench_models()
FORMULATIONS = [EDM(EDMOptions()), DDPM(DDPMOptions())]
CPU = torch.device("cpu")


class Silent(nn.Module):
    """F = 0: by EDM's coefficients, the perfect denoiser of Gaussian data whose standard deviation is σ_data."""

    def forward(self, images: Tensor, noise: Tensor) -> Tensor:
        return torch.zeros_like(images)


def family(loss: Any, network: nn.Module, shape: genbench.Shape = (1, 4, 4)) -> Diffusion:
    setup = genbench.Setup({"denoiser": network}, loss, MODEL, 1, 0, {"precision": "fp32"}, CPU, image_shape=shape)
    return Diffusion(setup)


def unet(shape: genbench.Shape = (1, 28, 28), width: int = 8) -> nn.Module:
    torch.manual_seed(0)
    return build(shape, 1, 0, UNetOptions(width))["denoiser"]


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


def test_the_error_of_heuns_steps_falls_with_the_square_of_their_number() -> None:
    def error(steps: int) -> float:
        levels = sampling_levels(EDMOptions(steps=steps, sigma_min=1e-4))
        end = follow(lambda x, sigma: 0.25 / (0.25 + sigma**2) * x, torch.ones((), dtype=torch.float64), levels)
        return abs(float(end) / (0.5 * 80 / math.sqrt(80**2 + 0.25)) - 1)

    assert error(18) < 0.07
    assert error(100) / error(200) == pytest.approx(4, rel=0.25)


def test_n_steps_evaluate_the_network_2n_minus_1_times_and_end_without_noise() -> None:
    asked: list[float] = []

    def denoise(images: Tensor, level: float) -> Tensor:
        asked.append(level)
        return torch.full_like(images, 0.5)

    levels = sampling_levels(EDMOptions())
    images = follow(denoise, torch.randn(3, 1, 2, 2), levels)
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
    denoise_in_steps(lambda x, s: (seen.append(x), denoise(x, s))[1], start / level, [level, following, 0.0], 1.0, rng)
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


@pytest.mark.parametrize("loss", FORMULATIONS, ids=["edm", "ddpm"])
def test_every_parameter_learns_and_the_loss_falls(loss: EDM | DDPM) -> None:
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
    network = build(shape, 1, 0, UNetOptions())["denoiser"]
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("shape", MODEL.image_shapes)
@pytest.mark.parametrize("loss", FORMULATIONS, ids=["edm", "ddpm"])
def test_images_of_every_shape_lie_in_the_range_and_follow_from_their_latents(
    loss: EDM | DDPM, shape: genbench.Shape
) -> None:
    player = family(loss, unet(shape), shape)
    player.levels = sampling_levels(EDMOptions(steps=2))
    assert isinstance(player, genbench.LatentFamily)
    with torch.inference_mode():
        latents = player.latents(2, torch.Generator().manual_seed(3))
        images = player.generate(latents)
        again = player.sample(2, torch.Generator().manual_seed(3))
    assert images.shape == (2, *shape)
    assert images.abs().max() <= 1
    torch.testing.assert_close(again, images)


def test_other_losses_and_conditional_models_are_refused() -> None:
    with pytest.raises(TypeError, match="creates an EDM or a DDPM, not NoneType"):
        family(None, Silent())
    conditional = genbench.ModelSpec(
        name="labelled", family="diffusion", build=build, default_loss="edm", conditional=True
    )
    with pytest.raises(genbench.GenbenchError, match="'labelled' is conditional"):
        Diffusion(genbench.Setup({"denoiser": Silent()}, FORMULATIONS[0], conditional, 1, 0, {}, CPU))


def test_the_specs_import_no_torch() -> None:
    code = "import sys, genbench_diffusion as g; list(g.genbench_models()); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_reports_the_cost_of_a_sample(tmp_path: Path) -> None:
    out = tmp_path / "run"
    sets = ["--set", "diffusion.width=8", "--set", "edm.steps=4"]
    asked = ["--models", "diffusion", "--profile", "smoke", "--metrics", "none", "--samples", "8", "--images", "96"]
    command = [sys.executable, "-m", "genbench", "run", *asked, *sets, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (file,) = (out / "cells").glob("diffusion-*.json")
    cell = json.loads(file.read_text())
    assert cell["status"] == "ok"
    assert cell["proof"]["trained"]
    assert cell["sampling"]["weights"] == "averaged"
    # Training is one pass forwards and two backwards, less parts that need no gradient; a sample is 2·4 - 1 passes.
    assert cell["flops_per_sample"] / cell["flops_per_image"] == pytest.approx(7 / 3, rel=0.02)
    assert cell["samples_per_second"] > 0
