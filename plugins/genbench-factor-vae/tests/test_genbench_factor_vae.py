"""FactorVAE: closed forms of the total correlation and of the bound, players kept separate, and a run."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import genbench_factor_vae
import pytest
import torch
import warm
from genbench_factor_vae import FactorOptions, FactorVAEOptions
from genbench_factor_vae.family import FactorVAE
from genbench_factor_vae.loss import (
    bernoulli_nll,
    discriminator_loss,
    factor,
    gaussian_nll,
    kl_to_standard_normal,
    permute_latents,
    total_correlation,
)
from genbench_factor_vae.networks import build, discriminator
from torch import Tensor, nn

import genbench

(MODEL,) = genbench_factor_vae.genbench_models()
CPU = torch.device("cpu")
TINY = FactorVAEOptions(width=4, hidden=8, discriminator_width=16)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def family(
    shape: genbench.Shape = (1, 28, 28), latent_dim: int = 4, networks: Any = None, **options: Any
) -> tuple[FactorVAE, dict[str, nn.Module]]:
    torch.manual_seed(0)
    networks = networks or build(shape, latent_dim, 0, TINY)
    loss = factor(FactorOptions(**options))
    return FactorVAE(genbench.Setup(networks, loss, MODEL, latent_dim, 0, {"precision": "fp32"}, CPU)), networks


def batch(count: int = 8, shape: genbench.Shape = (1, 28, 28)) -> genbench.Batch:
    return genbench.Batch(torch.rand((count, *shape), generator=generator(1)), None, generator(2), True, {})


def gradients(networks: dict[str, nn.Module]) -> dict[str, list[Tensor | None]]:
    return {name: [p.grad for p in network.parameters()] for name, network in networks.items()}


def test_no_gradient_crosses_from_one_player_to_the_other() -> None:
    player, networks = family()
    encoders, judge = player.phases()
    drawn = batch()
    networks["discriminator"].requires_grad_(False)  # as the engine does with frozen networks
    encoders.objective(drawn).total.backward()
    networks["discriminator"].requires_grad_(True)
    assert encoders.frozen == ("discriminator",)
    found = gradients(networks)
    assert all(gradient is None for gradient in found["discriminator"])
    assert all(g is not None and g.abs().sum() > 0 for name in ("encoder", "decoder") for g in found[name])
    for network in networks.values():
        network.zero_grad(set_to_none=True)
    judge.objective(drawn).total.backward()
    found = gradients(networks)
    assert all(gradient is None for name in ("encoder", "decoder") for gradient in found[name])
    assert all(g is not None and g.abs().sum() > 0 for g in found["discriminator"])


def test_the_weight_of_the_total_correlation_reaches_the_encoder_and_not_the_decoder() -> None:
    found = []
    for gamma in (0.0, 50.0):
        player, networks = family(gamma=gamma)
        player.autoencoder_objective(batch()).total.backward()
        found.append(gradients(networks))
    plain, weighted = found
    assert all(torch.equal(a, b) for a, b in zip(plain["decoder"], weighted["decoder"], strict=True))
    assert not all(torch.allclose(a, b) for a, b in zip(plain["encoder"], weighted["encoder"], strict=True))


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_the_discriminator_finds_the_total_correlation_of_gaussian_latents(correlation: float) -> None:
    """TC of two latents of correlation r is -½ ln(1 - r²): 0 if they are independent."""
    torch.manual_seed(0)
    judge, rng = discriminator(2, 32), generator()
    optimizer = torch.optim.Adam(judge.parameters(), 2e-3, (0.5, 0.9))

    def draw(count: int) -> Tensor:
        one, other = torch.randn(2, count, generator=rng)
        return torch.stack([one, correlation * one + math.sqrt(1 - correlation**2) * other], 1)

    for _ in range(300):
        optimizer.zero_grad()
        discriminator_loss(judge(draw(512)), judge(permute_latents(draw(512), rng))).backward()
        optimizer.step()
    with torch.no_grad():
        found = float(total_correlation(judge(draw(20_000))))
    assert found == pytest.approx(-0.5 * math.log(1 - correlation**2), abs=0.08)


def test_each_latent_is_permuted_separately_and_keeps_its_values() -> None:
    latents = torch.arange(1000.0)[:, None] + torch.tensor([0.0, 0.25, 0.5])
    permuted = permute_latents(latents, generator())
    assert torch.equal(permuted.sort(0).values, latents)
    assert (permuted.floor().var(1) > 0).double().mean() > 0.98  # hardly any row is left intact
    assert not torch.equal(permuted, permute_latents(latents, generator(1)))
    assert torch.equal(permuted, permute_latents(latents, generator()))


@pytest.mark.parametrize("logit", [0.0, 50.0, -50.0])
def test_the_discriminators_loss_is_finite_and_right_at_extreme_logits(logit: float) -> None:
    joint, product = torch.tensor([[logit, 0.0]] * 3), torch.tensor([[0.0, logit]] * 3)
    expected = math.log1p(math.exp(-logit))
    assert float(discriminator_loss(joint, product)) == pytest.approx(expected, rel=1e-6, abs=1e-7)
    assert float(total_correlation(joint)) == logit


def test_independent_latents_are_of_other_images() -> None:
    """The latents shown as independent come from the second half of the batch, each permuted separately."""
    player, networks = family()
    seen: list[Tensor] = []
    networks["discriminator"].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    drawn = batch(10)
    latents = torch.arange(40.0).view(10, 4)
    drawn.shared["latents"] = latents
    player.discriminator_objective(drawn)
    assert torch.equal(seen[0][:5], latents[:5])
    assert torch.equal(seen[0][5:].sort(0).values, latents[5:])


def test_a_batch_too_small_to_be_permuted_is_refused() -> None:
    player, _ = family()
    drawn = batch(3)
    player.autoencoder_objective(drawn)
    with pytest.raises(genbench.GenbenchError, match="has 3 images") as error:
        player.discriminator_objective(drawn)
    assert "--batch-size 4" in error.value.cure


def test_without_gamma_it_is_a_vae_whose_bound_is_its_loss() -> None:
    player, _ = family(gamma=0.0)
    objective = player.autoencoder_objective(batch(64))
    assert objective.total.item() == pytest.approx((objective.terms["reconstruction"] + objective.terms["kl"]).item())
    with torch.inference_mode():
        bound = player.bound(batch(64).images, 16, generator(3))
    assert float(bound.rate.mean()) == pytest.approx(objective.terms["kl"].item(), rel=1e-5)
    assert float(-bound.log_weights.mean()) == pytest.approx(objective.total.item(), rel=0.01)


def test_a_bound_of_a_linear_gaussian_model_averages_to_its_likelihood() -> None:
    """x = p(z) constant: p(x|z) does not depend on z, so the mean of the weights is p(x) itself."""

    class Posterior(nn.Module):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            return torch.full((len(images), 2), 0.3), torch.full((len(images), 2), -0.2)

    class Constant(nn.Module):
        def forward(self, latents: Tensor) -> Tensor:
            return torch.zeros(len(latents), 1, 2, 2)

    networks = {"encoder": Posterior(), "decoder": Constant(), "discriminator": nn.Identity()}
    player, _ = family(latent_dim=2, networks=networks, likelihood="gaussian", sigma=0.5)
    images = torch.rand(3, 1, 2, 2, generator=generator(4))
    bound = player.bound(images, 4000, generator(5))
    evidence = bound.log_weights.logsumexp(0) - math.log(4000)
    normal = torch.distributions.Normal(0.5, 0.5)
    torch.testing.assert_close(evidence, normal.log_prob(images).sum((1, 2, 3)), atol=0.05, rtol=0)
    torch.testing.assert_close(-bound.distortion, normal.log_prob(images).sum((1, 2, 3)))
    assert isinstance(player, genbench.LikelihoodFamily)
    assert isinstance(player, genbench.LatentFamily)


def test_likelihoods_and_kl_are_those_of_torch() -> None:
    images, logits = torch.rand(5, 1, 3, 3, generator=generator()), torch.randn(5, 1, 3, 3, generator=generator(1))
    normal = torch.distributions.Normal(logits.sigmoid(), 0.3)
    torch.testing.assert_close(gaussian_nll(images, logits, 0.3), -normal.log_prob(images).sum((1, 2, 3)))
    coin = torch.distributions.Bernoulli(logits=logits)
    torch.testing.assert_close(bernoulli_nll(images.round(), logits), -coin.log_prob(images.round()).sum((1, 2, 3)))
    mean, log_variance = torch.randn(2, 5, 4, generator=generator(2))
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    exact = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), exact)


@pytest.mark.parametrize(
    ("shape", "encoder", "decoder"), [((1, 28, 28), 204_084, 203_745), ((1, 64, 64), 249_172, 248_833)]
)
def test_parameter_counts(shape: genbench.Shape, encoder: int, decoder: int) -> None:
    networks = build(shape, MODEL.latent_dim, 0, FactorVAEOptions())
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    assert counts == {"encoder": encoder, "decoder": decoder, "discriminator": 5_018_002}


@pytest.mark.parametrize("shape", MODEL.image_shapes)
def test_images_of_every_shape_are_generated_and_reconstructed(shape: genbench.Shape) -> None:
    player, _ = family(shape)
    with torch.inference_mode():
        images = player.sample(2, generator())
        again = player.reconstruct(images)
    assert images.shape == again.shape == (2, *shape)
    assert images.min() >= 0
    assert images.max() <= 1


def test_other_losses_and_models_are_refused() -> None:
    with pytest.raises(TypeError, match="creates a FactorLoss, not NoneType"):
        FactorVAE(genbench.Setup({}, None, MODEL, 4, 0, {}, CPU))
    other = genbench.ModelSpec(name="pictures", family="factor-vae", build=build, default_loss="factor")
    with pytest.raises(genbench.GenbenchError, match="'pictures' is conditional, returns no logits"):
        FactorVAE(genbench.Setup({}, factor(FactorOptions()), other, 4, 0, {}, CPU))


def test_the_specs_import_no_torch() -> None:
    code = "import sys, genbench_factor_vae as g; list(g.genbench_models()); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_trains_three_networks_and_bounds_the_likelihood(tmp_path: Path) -> None:
    out = tmp_path / "run"
    sets = ["--set", "factor-vae.discriminator_width=32", "--set", "factor-vae.width=4"]
    asked = ["--models", "factor-vae", "--profile", "smoke", "--metrics", "elbo,iwae-k64", "--images", "160"]
    command = ["run", *asked, *sets, "--out", str(out)]
    done = warm.command(*command)
    assert done.returncode == 0, done.stderr
    (file,) = (out / "cells").glob("factor-vae-*.json")
    cell = json.loads(file.read_text())
    assert cell["status"] == "ok"
    assert cell["proof"]["trained"]
    assert cell["proof"]["phase_updates"] == {"autoencoder": 5, "discriminator": 5}
    assert {estimate["metric"] for estimate in cell["estimates"]} >= {"elbo", "iwae-k64"}
