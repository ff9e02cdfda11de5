"""StyleGAN2: published sizes, its layers and regularisers in closed form, and its recipe with ADA."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import genbench_stylegan
import pytest
import torch
import warm
from genbench_stylegan import LossOptions, StyleGAN2Options
from genbench_stylegan.layers import (
    DoubleImages,
    EqualConv2d,
    EqualLinear,
    MinibatchDeviation,
    ModulatedConv2d,
    Smooth,
)
from genbench_stylegan.loss import create, path_lengths
from genbench_stylegan.networks import Discriminator, Generator, build, build_conditional
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.functional import conv2d, pad

import genbench
from genbench.api.recipe import resolve_recipe
from genbench.builtin.families.adversarial import Adversarial
from genbench.measure.op_counts import MemoryCounter
from genbench.measure.op_listener import OpListener

MODELS = {spec.name: spec for spec in genbench_stylegan.genbench_models()}
TINY = StyleGAN2Options(width=4, max_width=8)
SHAPE = (1, 28, 28)
RECIPE = Path(__file__).parents[3] / "benchmarks" / "plans" / "stylegan2-ada.toml"


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=rng(seed))


def networks(options: StyleGAN2Options = TINY, classes: int = 0) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return build_conditional(SHAPE, 8, classes, options) if classes else build(SHAPE, 8, 0, options)


def generator(options: StyleGAN2Options = TINY) -> Generator:
    made = networks(options)["generator"]
    assert isinstance(made, Generator)
    return made


def family(given: Mapping[str, nn.Module], options: LossOptions, latents: int = 8) -> Adversarial:
    return Adversarial(
        genbench.Setup(
            networks=given,
            loss=create(options),
            model=MODELS["stylegan2"],
            latent_dim=latents,
            num_classes=0,
            recipe=resolve_recipe({}).settings,
            device=torch.device("cpu"),
        )
    )


# Sizes


def dense(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def counted_by_hand(size: int, colours: int, width: int, widest: int, latents: int, mapping: int) -> tuple[int, int]:
    """Add up the layer table of the paper's figures 2 and 7: weights, biases, styles and strengths of noise."""
    sides = [4 * 2**n for n in range(int(math.log2(size)) - 1)]
    channels = {side: min(width * size // side, widest) for side in sides}

    def modulated(inputs: int, outputs: int, kernel: int) -> int:
        return inputs * outputs * kernel**2 + outputs + dense(latents, inputs)

    made = mapping * dense(latents, latents) + channels[4] * 4 * 4
    judged = colours * channels[size] + channels[size]
    for side in sides:
        outputs = channels[side]
        made += modulated(outputs, outputs, 3) + 1 + modulated(outputs, colours, 1)
        if side > 4:
            inputs = channels[side // 2]
            made += modulated(inputs, outputs, 3) + 1
            judged += outputs * outputs * 9 + outputs + outputs * inputs * 9 + inputs + outputs * inputs
    last = channels[4]
    judged += (last + 1) * last * 9 + last + dense(last * 4 * 4, last) + dense(last, 1)
    return made, judged


@pytest.mark.parametrize(
    ("size", "colours", "width", "widest", "latents", "mapping", "counts"),
    [
        # Configuration F for FFHQ, as in the authors' code and logs
        (1024, 3, 32, 512, 512, 8, (30_370_060, 29_012_513)),
        (32, 3, 16, 64, 64, 2, (188_611, 218_449)),
        (64, 3, 16, 64, 64, 2, (275_144, 296_401)),
        (128, 3, 16, 64, 64, 2, (361_677, 374_353)),
    ],
)
def test_parameter_counts(
    size: int, colours: int, width: int, widest: int, latents: int, mapping: int, counts: tuple[int, int]
) -> None:
    with torch.device("meta"):
        made = build((colours, size, size), latents, 0, StyleGAN2Options(width, widest, mapping))
    found = tuple(sum(p.numel() for p in network.parameters()) for network in made.values())
    assert found == counted_by_hand(size, colours, width, widest, latents, mapping) == counts


def test_classes_add_an_embedding_to_both_networks() -> None:
    """The class and the latents are next to each other, and the logit is a product with the mapped embedding."""
    plain, conditional = networks(), networks(classes=10)
    more = {n: sum(p.numel() for p in conditional[n].parameters()) - sum(p.numel() for p in plain[n].parameters())
            for n in plain}  # fmt: skip
    widest, latents = 8, 8
    assert more["generator"] == dense(10, latents) + latents * latents
    assert more["discriminator"] == dense(10, widest) + 2 * dense(widest, widest) + dense(widest, widest - 1)


def test_images_logits_and_intermediate_latents_have_the_declared_shapes() -> None:
    for shape in MODELS["stylegan2"].image_shapes or ():
        made = build(shape, 8, 0, TINY)
        images = made["generator"](noise(2, 8))
        assert images.shape == (2, *shape)
        assert images.abs().max() <= 1
        assert made["discriminator"](images).shape == (2,)
        sizes = {28: 3, 32: 4, 64: 5, 128: 6}[shape[1]]
        assert made["generator"].intermediate(noise(2, 8)).shape == (2, 2 * sizes, 8)


# Modulated convolutions


def explicit_weights(layer: ModulatedConv2d, styles: Tensor) -> Tensor:
    """Return the weights of each image, (B, outputs, inputs, k, k): equations 1 and 3."""
    weights = layer.weight * layer.scale * styles[:, None, :, None, None]
    return weights / (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt() if layer.demodulate else weights


def test_demodulated_weights_have_unit_norm() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(6, 5, 3, latents=7)
    styles = 10 * noise(4, 6)
    weights = layer.weight * layer.scale * styles[:, None, :, None, None]
    demodulated = weights * layer.demodulation(styles)[:, :, None, None, None]
    torch.testing.assert_close(demodulated.square().sum((2, 3, 4)), torch.ones(4, 5))


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("double", [True, False])
def test_scaling_the_maps_equals_scaling_the_weights_of_each_image(demodulate: bool, double: bool) -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(6, 5, 3, latents=7, demodulate=demodulate, gain=1.5, double=double)
    nn.init.normal_(layer.bias)
    maps, latents = noise(4, 6, 8, 8, seed=1), noise(4, 7, seed=2)
    weights = explicit_weights(layer, layer.style(latents))
    if double:  # zeros in between, a convolution with the mirrored kernel, and the filter with gain 4
        spread = torch.zeros(4, 6, 16, 16)
        spread[:, :, ::2, ::2] = maps
        found = [conv2d(pad(one[None], (2, 3, 2, 3)), w.flip(2, 3)) for one, w in zip(spread, weights, strict=True)]
        row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        kernel = (4 * torch.outer(row, row)).expand(5, 1, 4, 4)
        outputs = torch.cat([conv2d(one, kernel, groups=5, padding=1) for one in found])[:, :, :16, :16]
    else:
        outputs = torch.cat([conv2d(one[None], w, padding=1) for one, w in zip(maps, weights, strict=True)])
    expected = 1.5 * (outputs + layer.bias[:, None, None])
    torch.testing.assert_close(layer(maps, latents), expected, rtol=1e-4, atol=1e-4)


def test_demodulation_removes_the_scale_of_styles_and_keeps_the_variance() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv2d(32, 32, 3, latents=4)
    maps = noise(16, 32, 16, 16)
    nn.init.zeros_(layer.style.weight)
    for style in (0.3, 30.0):
        nn.init.constant_(layer.style.bias, style)
        inner = layer(maps, noise(16, 4))[:, :, 1:-1, 1:-1]
        assert inner.std().item() == pytest.approx(1, abs=0.05)


# Resampling and equalised learning rate


def test_filters_keep_constants_and_halving_is_centred() -> None:
    ones = torch.ones(1, 2, 12, 12)
    assert Smooth(padding=1)(ones)[:, :, 1:-1, 1:-1] == pytest.approx(1.0)
    assert DoubleImages()(ones)[:, :, 2:-2, 2:-2] == pytest.approx(1.0)
    ramp = torch.arange(12.0).expand(1, 1, 12, 12)
    halved = Smooth(padding=1, stride=2)(ramp)[0, 0, 2, 1:-1]
    torch.testing.assert_close(halved, torch.arange(2.5, 10, 2))  # the middles of pairs of pixels
    doubled = DoubleImages()(ramp)[0, 0, 4, 4:-4]
    torch.testing.assert_close(doubled, torch.arange(1.75, 9.5, 0.5))
    learnt = EqualConv2d(1, 1, 3, gain=1.0, halve=True)
    with torch.no_grad():
        learnt.weight.zero_()[0, 0, 1, 1] = 3.0  # times 1/√9: the identity
    torch.testing.assert_close(learnt(ramp)[0, 0, 2, 1:-1], halved)


@pytest.mark.parametrize("inputs", [4, 400])
def test_a_step_of_adam_changes_all_layers_by_the_same_share(inputs: int) -> None:
    """Weights are N(0, 1) and outputs too, whatever the fan-in; Adam's first step is the learning rate."""
    torch.manual_seed(0)
    rate = 0.01
    for layer in (EqualLinear(inputs, 300), EqualConv2d(inputs, 300, 3, gain=1.0)):
        assert layer.weight.std().item() == pytest.approx(1, rel=0.05)
        shape = (64, inputs) if isinstance(layer, EqualLinear) else (8, inputs, 8, 8)
        outputs = layer(noise(*shape))
        inner = outputs if outputs.ndim == 2 else outputs[:, :, 1:-1, 1:-1]
        assert inner.std().item() == pytest.approx(1, rel=0.1)
        before = layer.weight.detach() * layer.scale
        optimizer = torch.optim.Adam(layer.parameters(), rate, (0.0, 0.99))
        outputs.square().mean().backward()
        optimizer.step()
        change = layer.weight.detach() * layer.scale - before
        assert (change.abs().mean() / before.std()).item() == pytest.approx(rate, rel=0.06)


def test_the_mapping_learns_at_a_hundredth_of_the_rate() -> None:
    layer = generator().mapping[0]
    assert isinstance(layer, EqualLinear)
    assert layer.weight.std().item() == pytest.approx(100, rel=0.3)
    assert layer.scale == pytest.approx(0.01 * math.sqrt(2) / math.sqrt(8))


# The discriminator


def test_the_deviation_of_a_minibatch_in_closed_form() -> None:
    """Groups of 2 of the images 0, 1, 2, 3 are {0, 2} and {1, 3}, here with distances 2a and 2b."""
    maps = torch.zeros(4, 3, 2, 2)
    a, b = torch.rand(3, 2, 2, generator=rng()), 5 * torch.rand(3, 2, 2, generator=rng(1))
    maps[0], maps[2], maps[1], maps[3] = 1 + a, 1 - a, 2 + b, 2 - b
    found = MinibatchDeviation(2)(maps)
    assert torch.equal(found[:, :3], maps)
    for images, distance in (((0, 2), a), ((1, 3), b)):
        for image in images:
            torch.testing.assert_close(found[image, 3], distance.mean().expand(2, 2), rtol=1e-4, atol=1e-4)
    same = MinibatchDeviation(4)(torch.ones(8, 3, 2, 2))[:, 3]
    assert same == pytest.approx(1e-4)  # the root of what is added to the variance
    assert MinibatchDeviation(4)(noise(6, 3, 2, 2)).shape == (6, 4, 2, 2)  # groups of 3


def test_a_blocks_two_paths_have_the_variance_of_one() -> None:
    torch.manual_seed(0)
    body = Discriminator((3, 32, 32), StyleGAN2Options(width=32, max_width=256)).body
    maps = body[1](body[0](noise(8, 3, 32, 32)))
    block: Any = body[2]
    outputs = block(maps)
    assert outputs.shape == (8, 64, 16, 16)
    scale = math.sqrt(0.5)
    expected = scale * (block.residual(maps) / scale + block.skip(maps) / scale)
    torch.testing.assert_close(outputs, expected)
    assert block.skip.gain == pytest.approx(scale)
    assert block.residual[2].gain == pytest.approx(scale * math.sqrt(2))


def test_a_conditional_logit_is_linear_in_the_embedding_of_the_class() -> None:
    judge = networks(classes=3)["discriminator"].eval()
    assert isinstance(judge, Discriminator)
    images, labels = noise(3, *SHAPE), torch.tensor([0, 1, 2])
    assert judge.classes is not None
    products = judge.last(judge.body(images)) @ judge.classes(labels).t() / math.sqrt(8)
    torch.testing.assert_close(judge(images, labels), products.diagonal())


# Regularisers


def test_path_lengths_of_a_linear_generator() -> None:
    """J is the matrix itself: lengths are ‖Aᵀy‖, and their mean square is ‖A‖² / pixels."""
    matrix, points = noise(5, 2 * 3 * 4, seed=1), noise(20_000, 5, seed=2).requires_grad_()
    found = path_lengths((points @ matrix).view(-1, 2, 3, 4), points, rng(3))
    directions = noise(20_000, 2, 3, 4, seed=3).flatten(1) / math.sqrt(12)
    torch.testing.assert_close(found, (directions @ matrix.t()).norm(dim=1), rtol=1e-4, atol=1e-5)
    assert found.square().mean().item() == pytest.approx(matrix.square().sum().item() / 12, rel=0.03)


def test_over_layers_it_is_the_root_of_the_mean_square() -> None:
    matrix = noise(5, 12, seed=1)
    one, four = (noise(6, layers, 5, seed=2).requires_grad_() for layers in (1, 4))
    alone, together = (
        path_lengths((points.sum(1) @ matrix).view(-1, 1, 3, 4), points, rng(3)) for points in (one, four)
    )
    torch.testing.assert_close(alone, together)  # each layer has the same gradient


@pytest.mark.parametrize("size", [32, 128, 1024])
def test_the_default_weight_is_that_of_the_paper(size: int) -> None:
    """γ_pl = ln 2 / (r² (ln r - ln 2)), for y ~ N(0, I) and the sum over layers."""
    layers = 2 * (math.log2(size) - 1)
    published = math.log(2) / (size**2 * (math.log(size) - math.log(2)))
    assert LossOptions().path_weight / (size**2 * layers) == pytest.approx(published)


def test_the_penalty_is_the_distance_to_a_moving_average() -> None:
    loss = create(LossOptions(path_decay=0.25, path_shrink=2, path_weight=3.0))
    assert loss.generator_penalty is not None
    points = noise(8, 5).requires_grad_()
    matrix = noise(5, 4, seed=1)
    average = 0.0
    for step in range(3):
        found = loss.generator_penalty(lambda chosen: (chosen @ matrix).view(-1, 1, 2, 2), points, rng(step))
        lengths = path_lengths((points[:4] @ matrix).view(-1, 1, 2, 2), points, rng(step))[:4].detach()
        average += 0.25 * (float(lengths.mean()) - average)
        assert isinstance(found, genbench.Objective)
        assert float(found.terms["path_average"]) == pytest.approx(average, rel=1e-5)
        assert float(found.total.detach()) == pytest.approx(3 * float((lengths - average).square().mean()), rel=1e-4)
    assert loss.module is not None
    assert float(loss.module.state_dict()["average"]) == pytest.approx(average, rel=1e-5)  # what a checkpoint keeps


def test_without_weights_there_are_no_regularisers() -> None:
    loss = create(LossOptions(gamma=0, path_weight=0))
    assert (loss.penalty, loss.generator_penalty, loss.module) == (None, None, None)


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(noise(1, *SHAPE, seed=4))

    def forward(self, images: Tensor) -> Tensor:
        return (self.weight * images).sum((1, 2, 3))


def test_lazy_regularisers_have_the_weight_of_the_steps_between_them() -> None:
    options = LossOptions(gamma=0.3, penalty_every=16, path_every=4, path_weight=2.0)
    made = {"generator": generator(), "discriminator": Linear()}
    phases = {phase.name: phase for phase in family(made, options).phases()}
    assert {name: phase.every for name, phase in phases.items()} == {
        "discriminator": 1,
        "penalty": 16,
        "generator": 1,
        "generator_penalty": 4,
    }
    batch = genbench.Batch(noise(4, *SHAPE), None, rng(), True, {})
    totals = {name: float(phase.objective(batch).total.detach()) for name, phase in phases.items()}
    slope = made["discriminator"].weight.square().sum().item()
    assert totals["penalty"] == pytest.approx(16 * 0.3 / 2 * slope, rel=1e-4)
    found = phases["generator_penalty"].objective(batch)
    assert float(found.total.detach()) == pytest.approx(4 * float(found.terms["penalty"].detach()))


# Noise and style mixing


def test_noise_acts_by_its_strength() -> None:
    made = generator().eval()
    latents, one, other = noise(3, 8), noise(3, made.noise_dim, seed=1), noise(3, made.noise_dim, seed=2)
    assert torch.equal(made(latents, noise=one), made(latents, noise=other))
    for layer in made.layers:
        nn.init.ones_(layer.strength)
    assert not torch.equal(made(latents, noise=one), made(latents, noise=other))
    assert torch.equal(made(latents), made(latents))
    fixed = torch.cat([torch.zeros(10), made.fixed_noise]).expand(3, -1)
    assert torch.equal(made(latents), made(latents, noise=fixed))
    assert made.noise_dim == 8 + 2 + 7 * 7 + 2 * 14 * 14 + 2 * 28 * 28


def test_without_noise_there_are_no_strengths_and_noise_only_mixes() -> None:
    made = generator(StyleGAN2Options(4, 8, noise=False))
    assert not [name for name, _ in made.named_parameters() if "strength" in name]
    latents, one, other = noise(3, 8), noise(3, made.noise_dim, seed=1), noise(3, made.noise_dim, seed=2)
    assert not torch.equal(made(latents, noise=one), made(latents, noise=other))
    made.eval()
    assert torch.equal(made(latents, noise=one), made(latents))


@pytest.mark.parametrize("mixing", [0.0, 0.9, 1.0])
def test_mixed_images_have_a_prefix_of_one_style_and_a_suffix_of_another(mixing: float) -> None:
    made = generator(StyleGAN2Options(4, 8, mixing=mixing))
    count = 4000
    latents, given = noise(count, 8), noise(count, made.noise_dim, seed=1)
    with torch.no_grad():
        found = made.intermediate(latents, noise=given)
        own, others = (made.eval().intermediate(values) for values in (latents, given[:, :8]))
        assert torch.equal(made.intermediate(latents, noise=given), own)  # no mixing outside of training
    is_own, is_other = ((found == styles).all(2) for styles in (own, others))
    assert bool((is_own ^ is_other).all())
    kept = is_own.sum(1)
    assert bool((is_own == (torch.arange(6) < kept[:, None])).all())
    assert (kept < 6).float().mean().item() == pytest.approx(mixing, abs=0.02)
    counts = torch.bincount(kept, minlength=7)[1:6].float() / count
    assert counts.tolist() == pytest.approx([mixing / 5] * 5, abs=0.03)
    assert kept.min() >= 1


# Runs


@pytest.mark.slow
def test_configuration_f_at_128_pixels_trains_within_24_gib() -> None:
    """Every phase with 32 images in fp32, on tensors without memory; weights, gradients, Adam and averages on top."""
    counter = MemoryCounter()
    with FakeTensorMode(allow_non_fake_inputs=True):
        images = torch.empty(32, 3, 128, 128)
        made = build((3, 128, 128), 512, 0, StyleGAN2Options(width=256, max_width=512, mapping_layers=8))
        weights = 4 * sum(p.numel() for network in made.values() for p in network.parameters())
        players, shared = family(made, LossOptions(), latents=512), dict[str, Any]()
        with OpListener(counter.operation):
            for phase in players.phases():
                made["discriminator"].requires_grad_("discriminator" not in phase.frozen)
                phase.objective(genbench.Batch(images, None, torch.Generator(), True, shared)).total.backward()
                for network in made.values():
                    network.zero_grad()
    peak = (counter.peak + 5 * weights) / 2**30
    assert 10 < peak < 24


@pytest.mark.slow
def test_the_recipe_of_ada_runs_and_adapts(tmp_path: Path) -> None:
    small = ["--set", "model:stylegan2.width=4", "--set", "model:stylegan2.max_width=8", "--batch-size", "8"]
    command = ["run", "--config", str(RECIPE), "--out", str(tmp_path / "run"), *small]
    command += ["--images", "240", "--samples", "16", "--metrics", "none", "--seeds", "0", "--augment-speed", "2000"]
    done = warm.command(*command)
    assert done.returncode == 0, done.stderr + done.stdout
    (path,) = (tmp_path / "run" / "cells").glob("*.json")
    cell = json.loads(path.read_text())
    assert cell["status"] == "ok"
    assert cell["identity"]["recipe"]["augment_discriminator"] == "ada"
    terms = {name: value for record in cell["curves"] for name, value in record["terms"].items()}
    assert 0 < terms["discriminator.augment_probability"] <= 1
    assert terms["generator_penalty.path_average"] > 0
