"""torchgan's networks and losses in genbench, and the faults because of which the others are not wrapped."""

from __future__ import annotations

import importlib.util
import json
import math
import subprocess
import sys
from pathlib import Path

import genbench_torchgan
import pytest
import torch
import warm
from torch import Tensor, nn

import genbench
from genbench.api.specs import resolve

if importlib.util.find_spec("torchgan") is None or importlib.util.find_spec("torchvision") is None:
    pytest.skip("torchgan or torchvision is not installed", allow_module_level=True)

import torchgan.losses
import torchgan.models
from torchgan.losses import functional

MODELS = {spec.name: spec for spec in genbench_torchgan.genbench_models()}
LOSSES = {spec.name: spec for spec in genbench_torchgan.genbench_losses()}

# 32 × 32 pixels, greyscale, 10 classes, 100 latents, 64 channels. torchgan's DCGAN, stage by stage; label embedding.
GENERATOR = (100 * 256 * 16 + 512) + (256 * 128 * 16 + 256) + (128 * 64 * 16 + 128) + (64 * 16 + 1)
DISCRIMINATOR = (64 * 16 + 64) + (64 * 128 * 16 + 256) + (128 * 256 * 16 + 512) + 256 * 16
PARAMETERS = {
    "torchgan-dcgan": {"generator": GENERATOR, "discriminator": DISCRIMINATOR},
    "torchgan-cgan": {
        "generator": GENERATOR + 10 * 256 * 16 + 100,
        "discriminator": DISCRIMINATOR + 10 * 64 * 16 + 100,
    },
    "torchgan-acgan": {"generator": GENERATOR + 1000, "discriminator": DISCRIMINATOR + 256 * 10 * 16},
}


def build(name: str, shape: genbench.Shape = (1, 16, 16), **options: object) -> dict[str, nn.Module]:
    spec = MODELS[name]
    chosen = spec.make_options({option.name: option.default for option in spec.option_schema} | options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built: dict[str, nn.Module] = resolve(spec.build)(shape, 100, 10, chosen)
    return built


def loss(name: str, **options: object) -> genbench.AdversarialLoss:
    spec = LOSSES[name]
    chosen = spec.make_options({option.name: option.default for option in spec.option_schema} | options)
    created: genbench.AdversarialLoss = resolve(spec.create)(chosen)
    return created


@pytest.mark.parametrize("name", sorted(MODELS))
def test_parameter_counts(name: str) -> None:
    networks = build(name, (1, 32, 32))
    assert {key: sum(p.numel() for p in n.parameters()) for key, n in networks.items()} == PARAMETERS[name]


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 64, 64)])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_networks_map_latents_to_images_and_images_to_logits(name: str, shape: genbench.Shape) -> None:
    networks = build(name, shape, step_channels=4)
    labels = (torch.tensor([1, 2, 3]),) if MODELS[name].conditional else ()
    images = networks["generator"](torch.randn(3, 100), *labels)
    assert images.shape == (3, *shape)
    assert float(images.detach().abs().max()) <= 1
    judged = networks["discriminator"](images, *labels)
    logits, *classes = judged if isinstance(judged, tuple) else (judged,)
    assert logits.shape == (3,)
    assert [c.shape for c in classes] == ([(3, 10)] if name == "torchgan-acgan" else [])


@pytest.mark.parametrize("name", sorted(MODELS))
def test_logits_take_both_signs_equally(name: str) -> None:
    discriminator = build(name, step_channels=8)["discriminator"]
    images = torch.rand(256, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    labels = (torch.arange(256) % 10,) if MODELS[name].conditional else ()
    judged = discriminator(images, *labels)
    logits = judged[0] if isinstance(judged, tuple) else judged
    assert float(logits.min()) < -0.5 < 0.5 < float(logits.max())


def test_torchgans_own_end_of_the_discriminator_squashes_negative_logits() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torchgan.models.DCGANDiscriminator(16, 1, 8)
    ours = build("torchgan-dcgan", step_channels=8)["discriminator"]
    ours.load_state_dict(theirs.state_dict())
    images = torch.rand(64, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    logits = ours(images)
    assert bool((logits < 0).any())
    torch.testing.assert_close(theirs(images), nn.functional.leaky_relu(logits, 0.2))


@pytest.mark.parametrize("name", ["torchgan-cgan", "torchgan-acgan"])
def test_labels_act_as_in_torchgan(name: str) -> None:
    prefix = "ConditionalGAN" if name == "torchgan-cgan" else "ACGAN"
    networks = build(name, step_channels=4)
    theirs = getattr(torchgan.models, f"{prefix}Generator")(10, 100, 16, 1, 4)
    theirs.load_state_dict(networks["generator"].state_dict())
    latents, labels = torch.randn(5, 100), torch.tensor([0, 1, 1, 7, 9])
    images = theirs(latents, labels)
    torch.testing.assert_close(networks["generator"](latents, labels), images)
    judge = getattr(torchgan.models, f"{prefix}Discriminator")(10, 16, 1, 4, last_nonlinearity=nn.Identity())
    judge.load_state_dict(networks["discriminator"].state_dict())
    expected = judge(images, labels) if name == "torchgan-cgan" else judge(images, "both")
    torch.testing.assert_close(networks["discriminator"](images, labels), expected)


def test_losses_at_logits_of_zero_are_known() -> None:
    zero = torch.zeros(4)
    expected = {
        "torchgan-minimax": (2 * math.log(2), math.log(2)),
        "torchgan-least-squares": (0.5, 0.5),
        "torchgan-wasserstein": (0.0, 0.0),
    }
    for name, (of_discriminator, of_generator) in expected.items():
        created = loss(name)
        assert float(created.discriminator(zero, zero)) == pytest.approx(of_discriminator)
        assert float(created.generator(zero, None)) == pytest.approx(of_generator)
    assert float(loss("torchgan-minimax", nonsaturating=False).generator(zero, None)) == pytest.approx(-math.log(2))


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_losses_are_finite_at_extreme_logits_and_means_over_the_batch(name: str) -> None:
    created, rng = loss(name), torch.Generator().manual_seed(0)
    real, fake = 50 * torch.randn(2, 8, generator=rng)
    for value, twice in (
        (created.discriminator(real, fake), created.discriminator(real.repeat(2), fake.repeat(2))),
        (created.generator(fake, None), created.generator(fake.repeat(2), None)),
    ):
        assert value.ndim == 0
        assert bool(value.isfinite())
        torch.testing.assert_close(value, twice)


def test_the_boundary_of_least_squares_is_between_its_targets() -> None:
    assert loss("torchgan-least-squares", a=-1.0, b=2.0).boundary == 0.5
    assert loss("torchgan-wasserstein", clip=0.02).clip_weights == 0.02
    assert loss("torchgan-wasserstein").boundary is None


# The faults because of which these parts are not wrapped; if one of these tests fails, torchgan has been fixed.


def linear(weights: Tensor) -> tuple[Tensor, Tensor]:
    points = torch.zeros(9, len(weights), requires_grad=True)
    return points, points @ weights


def test_the_gradient_penalties_take_one_norm_for_the_whole_batch() -> None:
    points, logits = linear(torch.tensor([0.6, 0.8]))  # a slope of 1 everywhere: no penalty
    assert float(functional.wasserstein_gradient_penalty(points, logits)) == pytest.approx((math.sqrt(9) - 1) ** 2)
    points, logits = linear(torch.tensor([0.6, 0.8]))
    assert float(functional.dragan_gradient_penalty(points, logits)) == pytest.approx((math.sqrt(9) - 1) ** 2)


def test_the_pulling_away_term_of_the_same_image_depends_on_its_scale() -> None:
    same = torch.ones(2, 3) * torch.tensor([[1.0], [10.0]])  # cosines of 1: the term is 1, whatever the lengths
    assert float(functional.energy_based_pulling_away_term(same)) != pytest.approx(1.0, rel=0.1)


def test_upsampling_blocks_of_the_autoencoding_networks_are_one_block() -> None:
    generator = torchgan.models.AutoEncodingGenerator(10, 32, 1, 4)
    assert generator.model[1] is generator.model[2]


def test_the_infogan_discriminator_returns_three_values_when_asked_for_one() -> None:
    discriminator = torchgan.models.InfoGANDiscriminator(10, 2, 16, 1, 4)
    assert len(discriminator(torch.randn(2, 1, 16, 16))) == 3


def test_the_specs_are_made_without_importing_torch() -> None:
    program = (
        "import sys, genbench_torchgan as p; list(p.genbench_models()); list(p.genbench_losses());"
        "sys.exit(bool({'torch', 'torchgan'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_a_run_with_a_built_in_model(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ["run", "--models", "torchgan-acgan,dcgan", "--profile", "smoke"]
    command += ["--losses", "torchgan-least-squares", "--datasets", "synthetic", "--images", "64", "--out", str(out)]
    command += ["--set", "synthetic.size=32", "--set", "synthetic.count=200", "--set", "synthetic.channels=1"]
    command += ["--set", "torchgan-acgan.step_channels=4", "--set", "dcgan.width=4"]
    done = warm.command(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    cells = [json.loads(file.read_text()) for file in (out / "cells").glob("*.json")]
    assert {cell["identity"]["model"]["name"] for cell in cells} == {"torchgan-acgan", "dcgan"}
    assert {cell["status"] for cell in cells} == {"ok"}
    assert all(cell["throughput"]["images_per_second"] > 0 for cell in cells)


def test_the_readme_names_every_model_with_its_parameters_and_every_loss() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    for name, counts in PARAMETERS.items():
        (line,) = [line for line in readme.splitlines() if line.startswith(f"| `{name}` |")]
        assert line.endswith(f"| {counts['generator']:,} and {counts['discriminator']:,} |")
    assert all(f"| `{name}` |" in readme for name in LOSSES)
