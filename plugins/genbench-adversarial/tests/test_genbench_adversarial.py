"""VEEGAN's objectives in closed form; growing networks compared with small ones."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import genbench_adversarial
import pytest
import torch
from genbench_adversarial import GrowingOptions, ReconstructionOptions, VEEGANOptions, pggan, veegan_networks
from genbench_adversarial.pggan import Convolution, Discriminator, Generator, Schedule, deviation, levels, pixel_norm
from genbench_adversarial.veegan import VEEGAN, Reconstruction
from torch import Tensor, nn

import genbench
from genbench.api.recipe import resolve_recipe

LATENTS, BATCH = 3, 16
OPTIONS = GrowingOptions(width=8, fade=0.5, grown=0.6)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# ----------------------------------------------------------------------------------------------------------------------
# VEEGAN


class Sum(nn.Module):
    """D(z, x) = a · (sum of z) + b · (sum of x)."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.tensor(-2.0))

    def forward(self, latents: Tensor, images: Tensor) -> Tensor:
        return self.a * latents.sum(1) + self.b * images.flatten(1).sum(1)


class Scale(nn.Module):
    """Values times a factor, in another shape."""

    def __init__(self, factor: float, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.factor, self.shape = nn.Parameter(torch.tensor(factor)), shape

    def forward(self, values: Tensor) -> Tensor:
        return self.factor * values.reshape(len(values), *self.shape)


def family(weight: float = 1.0, generator: float = 3.0, reconstructor: float = 0.25) -> VEEGAN:
    networks = {
        "generator": Scale(generator, (1, 1, LATENTS)),
        "reconstructor": Scale(reconstructor, (LATENTS,)),
        "discriminator": Sum(),
    }
    model = next(spec for spec in genbench_adversarial.genbench_models() if spec.name == "veegan")
    loss = Reconstruction(ReconstructionOptions(weight))
    recipe = resolve_recipe().settings
    return VEEGAN(genbench.Setup(networks, loss, model, LATENTS, 0, recipe, torch.device("cpu")))


def batch() -> genbench.Batch:
    return genbench.Batch(torch.randn(BATCH, 1, 1, LATENTS, generator=rng(1)), None, rng(2), True, {})


def test_the_discriminator_compares_pairs_of_latents_and_images() -> None:
    made, given = family(), batch()
    found = made.discriminator_objective(given)
    z = torch.randn(BATCH, LATENTS, generator=rng(2)).double()
    x = given.images.flatten(1).double()
    fake, real = 0.5 * z.sum(1) - 2 * 3 * z.sum(1), 0.5 * 0.25 * x.sum(1) - 2 * x.sum(1)
    expected = [-math.log(1 / (1 + math.exp(-logit))) for logit in fake.tolist()]
    expected += [-math.log(1 - 1 / (1 + math.exp(-logit))) for logit in real.tolist()]
    assert float(found.total.detach()) == pytest.approx(sum(expected) / BATCH, rel=1e-4)


def test_the_generator_also_pays_for_latents_that_cannot_be_recovered() -> None:
    """F(G(z)) = ¼ · 3 z: the error of each latent is (z/4)², its mean over batch and latents."""
    made, given = family(weight=10.0), batch()
    made.discriminator_objective(given)
    found = made.generator_objective(given)
    z = given.shared["latents"]
    assert float(found.terms["latent_error"].detach()) == pytest.approx(float((z / 4).square().mean()), rel=1e-5)
    game = float((0.5 * z.sum(1) - 6 * z.sum(1)).mean())
    expected = game + 10 * float(found.terms["latent_error"].detach())
    assert float(found.total.detach()) == pytest.approx(expected, rel=1e-4)


def test_the_reconstructor_learns_from_the_latent_error_alone() -> None:
    """Its gradient is that of λ d(z, F(G(z))), as in algorithm 1: the game does not reach it."""
    made, given = family(weight=2.0), batch()
    discriminator = made.discriminator_objective(given)
    factor = made.reconstructor.factor
    assert torch.autograd.grad(discriminator.total, factor, allow_unused=True, retain_graph=True) == (None,)
    (gradient,) = torch.autograd.grad(made.generator_objective(given).total, factor)
    z = given.shared["latents"]
    assert float(gradient) == pytest.approx(float(2 * (2 * (0.75 * z - z) * 3 * z).mean()), rel=1e-4)


def test_exact_inversion_costs_nothing() -> None:
    made, given = family(reconstructor=1 / 3), batch()
    made.discriminator_objective(given)
    assert float(made.generator_objective(given).terms["latent_error"].detach()) < 1e-12


def test_the_parameters_of_veegan_are_those_of_its_layer_table() -> None:
    made = veegan_networks.build((1, 28, 28), 100, 0, VEEGANOptions())

    def dense(*sizes: int) -> int:
        return sum(a * b + b for a, b in pairwise(sizes))

    norms = 2 * (128 + 256)
    assert [count(network) for network in made.values()] == [
        dense(100, 128, 256, 784) + norms,
        dense(784, 256, 128, 100),
        dense(884, 256, 128, 1),
    ]
    assert [count(network) for network in made.values()] == [248_208, 246_756, 259_585]


# ----------------------------------------------------------------------------------------------------------------------
# Growing


def at(progress: float, *networks: nn.Module) -> None:
    for network in networks:
        assert isinstance(network, genbench.ScheduledNetwork)
        network.set_progress(torch.tensor(progress))


@pytest.mark.parametrize(
    ("progress", "level"),
    [(0.0, 0), (0.19, 0), (0.2, 0), (0.25, 0.5), (0.3, 1), (0.39, 1), (0.45, 1.5), (0.5, 2), (0.6, 2), (0.99, 2)],
)
def test_each_level_is_faded_in_during_the_first_part_of_its_stage(progress: float, level: float) -> None:
    """Three levels, grown at 0.6: stages of 0.2, of which the first half fades."""
    schedule = Schedule(3, OPTIONS)
    schedule.set_progress(torch.tensor(progress))
    assert float(schedule.level) == pytest.approx(level, abs=1e-5)
    assert float(schedule.weights().sum()) == pytest.approx(1)
    alphas = [max(0.0, min(1.0, level - number + 1)) for number in range(3)]
    assert schedule.shares().tolist() == pytest.approx(alphas, abs=1e-5)


def nets(seed: int = 0) -> tuple[Generator, Discriminator]:
    torch.manual_seed(seed)
    return Generator(LATENTS, 1, 28, OPTIONS), Discriminator(1, 28, OPTIONS)


def test_before_it_grows_the_generator_makes_images_of_seven_pixels_in_the_full_size() -> None:
    generator, _ = nets()
    at(0.1, generator)
    latents = torch.randn(2, LATENTS, generator=rng())
    images = generator(latents)
    maps = nn.functional.leaky_relu(generator.dense(pixel_norm(latents)).unflatten(1, (-1, 7, 7)), 0.2)
    small = generator.images[0](pixel_norm(nn.functional.leaky_relu(generator.first(maps), 0.2))).tanh()
    assert torch.allclose(images, small.repeat_interleave(4, 2).repeat_interleave(4, 3), atol=1e-6)


def test_while_a_level_is_faded_in_the_image_is_the_weighted_mean_of_two() -> None:
    generator, _ = nets()
    latents = torch.randn(2, LATENTS, generator=rng())
    pictures = []
    for progress in (0.2, 0.25, 0.3):  # levels 0, ½ and 1
        at(progress, generator)
        pictures.append(generator(latents).atanh())
    assert torch.allclose(pictures[1], (pictures[0] + pictures[2]) / 2, atol=1e-4)


def test_the_discriminator_sees_only_the_details_of_the_present_level() -> None:
    """A pattern within blocks of 4 pixels is invisible at level 0, one within 2 pixels at level 1."""
    _, discriminator = nets()
    images = torch.randn(4, 1, 28, 28, generator=rng())
    fine = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(14, 14)
    coarse = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat_interleave(2, 0).repeat_interleave(2, 1).repeat(7, 7)
    visible = {}
    for progress in (0.1, 0.35, 0.7):
        at(progress, discriminator)
        plain = discriminator(images)
        visible[progress] = [not torch.allclose(discriminator(images + p), plain, atol=1e-4) for p in (fine, coarse)]
    assert visible == {0.1: [False, False], 0.35: [False, True], 0.7: [True, True]}


@pytest.mark.parametrize("progress", [0.1, 0.25, 0.35, 0.5])
def test_layers_that_are_not_in_use_have_no_gradient(progress: float) -> None:
    generator, discriminator = nets()
    at(progress, generator, discriminator)
    level = float(generator.schedule.level)
    discriminator(generator(torch.randn(4, LATENTS, generator=rng()))).mean().backward()
    for network in (generator, discriminator):
        for number, block in enumerate(network.blocks, 1):
            in_use = number < level + 1  # its α is above 0
            moves = any(bool(p.grad.any()) for p in block.parameters() if p.grad is not None)
            assert moves == in_use, (number, level)


def test_layers_that_are_not_in_use_are_left_alone_by_adam() -> None:
    generator, _ = nets()
    at(0.1, generator)
    optimizer = torch.optim.Adam(generator.parameters(), lr=0.1, betas=(0.0, 0.99))
    before = [p.clone() for p in generator.blocks.parameters()]
    first = generator.first.weight.clone()
    for seed in range(2):
        optimizer.zero_grad()
        generator(torch.randn(4, LATENTS, generator=rng(seed))).square().mean().backward()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(before, generator.blocks.parameters(), strict=True))
    assert not torch.equal(first, generator.first.weight)


def test_what_was_grown_is_saved_with_the_weights() -> None:
    one, other = nets()[0], nets(1)[0]
    at(0.25, one)
    other.load_state_dict(one.state_dict())
    latents = torch.randn(2, LATENTS, generator=rng())
    assert torch.equal(one(latents), other(latents))


def test_convolutions_keep_the_variance_of_unit_inputs_before_leaky_relu() -> None:
    torch.manual_seed(0)
    layer = Convolution(64, 64, 3, gain=1.0)
    found = layer(torch.randn(8, 64, 12, 12, generator=rng()))[:, :, 1:-1, 1:-1]
    assert float(found.detach().var()) == pytest.approx(1, rel=0.05)


def test_the_deviation_is_that_of_the_batch_and_pixel_norm_has_unit_mean_square() -> None:
    maps = torch.tensor([1.0, 5.0]).view(2, 1, 1, 1).expand(2, 3, 2, 2)
    assert deviation(maps).unique().tolist() == pytest.approx([2.0])
    assert deviation(maps).shape == (2, 1, 2, 2)
    normalised = pixel_norm(torch.randn(2, 5, 3, 3, generator=rng()))
    assert torch.allclose(normalised.square().mean(1), torch.ones(2, 3, 3), atol=1e-5)


def test_the_levels_of_128_pixels_are_those_of_the_paper_for_a_width_of_512() -> None:
    """Karras et al. 2018, table 2: 512 channels up to 32 × 32, then 256 and 128."""
    assert levels(128, 512) == ([4, 8, 16, 32, 64, 128], [512, 512, 512, 512, 256, 128])
    assert levels(28, 32) == ([7, 14, 28], [32, 32, 32])


@pytest.mark.parametrize(("shape", "counts"), [((1, 28, 28), (248_611, 96_961)), ((3, 64, 64), (138_175, 89_009))])
def test_the_parameters_of_pggan_are_those_of_its_layer_table(
    shape: tuple[int, int, int], counts: tuple[int, int]
) -> None:
    channels, size, _ = shape
    widths = {28: [32, 32, 32], 64: [32, 32, 32, 32, 16]}[size]
    side = {28: 7, 64: 4}[size]

    def conv(inputs: int, outputs: int, kernel: int = 3) -> int:
        return kernel**2 * inputs * outputs + outputs

    generator = 128 * 32 * side**2 + 32 * side**2 + conv(32, 32)
    generator += sum(conv(a, b) + conv(b, b) for a, b in pairwise(widths)) + sum(conv(w, channels, 1) for w in widths)
    discriminator = sum(conv(b, b) + conv(b, a) for a, b in pairwise(widths))
    discriminator += sum(conv(channels, w, 1) for w in widths)
    discriminator += conv(33, 32) + (32 * side**2) * 32 + 32 + 32 + 1
    made = pggan.build(shape, 128, 0, GrowingOptions())
    assert (count(made["generator"]), count(made["discriminator"])) == (generator, discriminator) == counts


def test_another_schedule_is_an_option() -> None:
    schedule = Schedule(2, replace(OPTIONS, grown=1.0, fade=1.0))
    schedule.set_progress(torch.tensor(0.75))
    assert float(schedule.level) == pytest.approx(0.5)
