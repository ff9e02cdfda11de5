"""Flows: an exact inverse, the determinant of the Jacobian, bits of data whose entropy is known, and a run."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import genbench_flows
import pytest
import torch
import warm
from genbench_flows import FlowOptions, RealNVPOptions
from genbench_flows.family import Flow, FlowNLL
from genbench_flows.realnvp import Coupling, build
from torch import Tensor, nn
from torch.distributions import Normal

import genbench

MODEL, _, _ = genbench_flows.genbench_models()
CPU = torch.device("cpu")
SHAPES = [(1, 4, 4), (3, 8, 6), (1, 5, 4), (1, 1, 2), (2, 1, 1)]  # squeezed, not square, odd, points, single pixels


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def network(shape: genbench.Shape, width: int = 8, couplings: int = 2) -> Any:
    """Return a network far from the identity."""
    torch.manual_seed(0)
    flow = build(shape, 1, 0, RealNVPOptions(width, couplings))["flow"]
    with torch.no_grad():
        for layer in flow.modules():
            if isinstance(layer, Coupling):
                last = layer.body[-1]
                assert isinstance(last, nn.Conv2d)
                last.weight.mul_(20)
    return flow


def family(shape: genbench.Shape, flow: nn.Module, alpha: float = 0.05) -> Flow:
    loss = FlowNLL(FlowOptions(alpha))
    return Flow(genbench.Setup({"flow": flow}, loss, MODEL, 1, 0, {"precision": "fp32"}, CPU, image_shape=shape))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_network_is_invertible(shape: genbench.Shape) -> None:
    flow, images = network(shape), torch.randn(16, *shape, generator=generator())
    with torch.no_grad():
        noise, _ = flow(images)
        assert noise.shape == images.shape
        assert (noise - images).abs().max() > 0.1
        torch.testing.assert_close(flow.inverse(noise), images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_determinant_is_that_of_the_jacobian(shape: genbench.Shape) -> None:
    flow = network(shape).double()
    images = torch.randn(3, *shape, generator=generator(), dtype=torch.float64)
    for image in images:
        jacobian = torch.autograd.functional.jacobian(lambda x: flow(x[None])[0][0].flatten(), image)
        expected = torch.linalg.slogdet(jacobian.reshape(image.numel(), image.numel())).logabsdet
        _, log_det = flow(image[None])
        torch.testing.assert_close(log_det[0].to(expected.dtype), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("alpha", [1e-6, 0.05])
def test_logits_have_an_inverse_and_its_slope(alpha: float) -> None:
    loss = FlowNLL(FlowOptions(alpha))
    values = torch.linspace(0.002, 0.998, 40, dtype=torch.float64).view(-1, 1, 1, 1).requires_grad_()
    logits, log_slopes = loss.to_logits(values)
    (slopes,) = torch.autograd.grad(logits.sum(), values)
    torch.testing.assert_close(log_slopes, slopes.flatten().log())
    torch.testing.assert_close(loss.from_logits(logits), values)


@pytest.mark.parametrize("shape", [(1, 1, 1)])
def test_the_probabilities_of_all_levels_of_a_pixel_sum_to_one(shape: genbench.Shape) -> None:
    """The mean of exp(log p) over the noise is the probability of a level, so its sum over levels is 1."""
    player = family(shape, network(shape), 1e-6)
    levels = (torch.arange(256) / 255).repeat(400).view(-1, 1, 1, 1)
    with torch.inference_mode():
        total = float(player.log_likelihood(levels, generator()).exp().sum()) / 400
    assert total == pytest.approx(1, abs=0.01)


def entropy_of_rounded_normal(deviation: float) -> float:
    """Return the entropy in bits of round(N(128, deviation²)), clamped to 0 … 255."""
    edges = Normal(128.0, deviation).cdf(torch.arange(255, dtype=torch.float64) + 0.5)
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64)
    probabilities = torch.cat([ends[:1], edges, ends[1:]]).diff()
    return float(-torch.xlogy(probabilities, probabilities).sum() / math.log(2))


def independent_pixels(count: int, seed: int, deviation: float) -> Tensor:
    levels = 128 + deviation * torch.randn(count, 1, 2, 2, generator=generator(seed))
    return levels.round().clamp(0, 255) / 255


@pytest.mark.parametrize("deviation", [8.0, 30.0])
def test_bits_per_dim_of_independent_pixels_approach_their_entropy_from_above(deviation: float) -> None:
    torch.manual_seed(0)
    player = family((1, 2, 2), build((1, 2, 2), 1, 0, RealNVPOptions(8, 2))["flow"])
    images = independent_pixels(4000, 0, deviation)
    optimizer = torch.optim.Adam(player.flow.parameters(), 0.02)
    for step in range(300):
        chosen = torch.randint(len(images), (256,), generator=generator(step))
        optimizer.zero_grad()
        player.objective(genbench.Batch(images[chosen], None, generator(step), True, {})).total.backward()
        optimizer.step()
    entropy = entropy_of_rounded_normal(deviation)
    with torch.inference_mode():
        held_out = independent_pixels(8000, 1, deviation)
        bits = -player.log_likelihood(held_out, generator(9)) / (4 * math.log(2))
    error = float(bits.std()) / math.sqrt(len(bits))
    assert entropy - 4 * error < float(bits.mean()) < entropy + 4 * error + 0.05


def test_samples_are_levels_and_follow_from_their_latents() -> None:
    player = family((1, 4, 4), network((1, 4, 4)))
    assert isinstance(player, genbench.LatentFamily)
    assert isinstance(player, genbench.ExactLikelihoodFamily)
    with torch.inference_mode():
        images, again = player.sample(8, generator(3)), player.generate(player.latents(8, generator(3)))
    assert torch.equal(images, again)
    torch.testing.assert_close((images * 255).round() / 255, images)
    assert 0 <= images.min() < images.max() <= 1


def test_other_losses_and_value_ranges_are_refused() -> None:
    with pytest.raises(TypeError, match="creates a FlowNLL, not NoneType"):
        Flow(genbench.Setup({}, None, MODEL, 4, 0, {}, CPU))
    other = genbench.ModelSpec(name="centred", family="flow", build=build, default_loss="flow-nll")
    with pytest.raises(genbench.GenbenchError, match="value range of model 'centred'"):
        Flow(genbench.Setup({}, FlowNLL(FlowOptions()), other, 4, 0, {}, CPU))


def test_the_specs_import_no_torch() -> None:
    code = "import sys, genbench_flows as g; list(g.genbench_models()); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_measures_a_flow_and_a_vae_in_one_column(tmp_path: Path) -> None:
    out = tmp_path / "run"
    sets = ["realnvp.width=4", "realnvp.couplings=2", "elbo.likelihood=logistic", "vae.hidden=16"]
    asked = ["--models", "realnvp,vae", "--profile", "smoke", "--metrics", "likelihood", "--images", "160"]
    given = [part for setting in sets for part in ("--set", setting)]
    data = ["--datasets", "shapes", "--set", "shapes.size=16", "--set", "shapes.count=200"]
    quick = ["--samples", "8", "--in-process", "--threads", "1"]
    command = ["run", *asked, *given, *data, *quick, "--out", str(out)]
    done = warm.command(*command)
    assert done.returncode == 0, done.stderr
    cells = {path.name.split("-")[0]: json.loads(path.read_text()) for path in (out / "cells").glob("*.json")}
    found = {name: {e["metric"]: e for e in cell["estimates"]} for name, cell in cells.items()}
    for metric in ("elbo", "iwae-k64", "bits-per-dim"):
        assert found["realnvp"][metric]["protocol"] == found["vae"][metric]["protocol"]
        assert found["realnvp"][metric]["remark"] != found["vae"][metric]["remark"]
    missing = {u["metric"]: u["reason"] for u in cells["realnvp"]["unavailable"]}
    assert {*missing} == {"rate", "distortion", "active-units", "mig"}
    assert "†" not in (out / "table.md").read_text()
