"""Losses with further terms: consistency and mode seeking, on linear networks whose distances are known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import genbench
from genbench.api.options import resolve_options
from genbench.api.specs import resolve
from genbench.api.training import AdversarialBatch, AdversarialLoss, Objective
from genbench.builtin.losses.adversarial import specs
from genbench.builtin.losses.adversarial.consistency_regularisation import (
    flipped_and_shifted,
    latent_consistency,
    latent_sensitivity,
)
from genbench.builtin.losses.adversarial.mode_seeking import mean_ratio

SPECS = {spec.name: spec for spec in specs()}
NAMES = ("cr", "bcr", "zcr", "icr", "mode-seeking")
COUNT, LATENTS = 512, 2


def made(name: str, **options: Any) -> AdversarialLoss:
    spec = SPECS[name]
    loss: AdversarialLoss = resolve(spec.create)(spec.make_options(resolve_options(spec.option_schema, options, name)))
    return loss


def generate(latents: Tensor) -> Tensor:
    """Return images (B, 1, 1, 2) with the values 3 z."""
    return 3 * latents.view(-1, 1, 1, LATENTS)


def discriminate(images: Tensor) -> Tensor:
    """Return the first value minus the last of the first row: a flip changes its sign."""
    return images[:, 0, 0, 0] - images[:, 0, 0, -1]


def batch(seed: int = 0) -> AdversarialBatch:
    rng = torch.Generator().manual_seed(seed)
    real, latents = torch.randn(COUNT, 1, 1, 2, generator=rng), torch.randn(COUNT, LATENTS, generator=rng)
    fake = generate(latents)
    return AdversarialBatch(
        real=real,
        fake=fake,
        real_logits=discriminate(real),
        fake_logits=discriminate(fake),
        latents=latents,
        draw_latents=lambda: latents + torch.tensor([1.0, -3.0]),
        generate=generate,
        discriminate=discriminate,
        rng=rng,
        value_range=(-1, 1),
    )


def terms(loss: AdversarialLoss, player: str, given: AdversarialBatch) -> Objective:
    function = loss.discriminator_terms if player == "discriminator" else loss.generator_terms
    assert function is not None
    found = function(given)
    assert isinstance(found, Objective)
    return found


def test_flips_and_shifts_move_whole_images_and_repeat_their_edges() -> None:
    rng = torch.Generator().manual_seed(0)
    image = torch.arange(12.0).view(1, 1, 3, 4)
    found = flipped_and_shifted(image.repeat(400, 2, 1, 1), 1, rng)
    assert torch.equal(found[:, 0], found[:, 1])  # all channels alike
    expected = set()
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="replicate")[0, 0]
    for row in range(3):
        for column in range(3):
            window = padded[row : row + 3, column : column + 4]
            expected |= {tuple(window.flatten().tolist()), tuple(window.flip(1).flatten().tolist())}
    assert {tuple(one.flatten().tolist()) for one in found[:, 0]} == expected
    assert torch.equal(flipped_and_shifted(image.repeat(9, 1, 1, 1), 0, rng).sort(dim=3).values[0], image[0])


def test_a_discriminator_that_a_flip_negates_pays_four_times_its_squared_logit_for_half_of_the_images() -> None:
    """Without shifts, D(T(x)) is D(x) or -D(x): E (D(x) - D(T(x)))² = ½ E (2 D(x))² up to the choice of images."""
    given = batch()
    assert given.real_logits is not None
    found = terms(made("bcr", shift=0, real=2.0, fake=0.5), "discriminator", given)
    real, fake = found.terms["consistency_real"], found.terms["consistency_fake"]
    assert float(real) == pytest.approx(2 * float(given.real_logits.square().mean()), rel=0.15)
    assert float(fake) == pytest.approx(2 * float(given.fake_logits.square().mean()), rel=0.15)
    assert float(found.total) == pytest.approx(2 * float(real) + 0.5 * float(fake))
    only_real = terms(made("cr", shift=0, weight=2.0), "discriminator", batch())
    assert dict(only_real.terms) == {"consistency_real": only_real.terms["consistency_real"]}
    assert float(only_real.total) == pytest.approx(2 * float(only_real.terms["consistency_real"]))


def test_noise_of_the_latents_moves_logits_and_images_by_its_variance() -> None:
    """G = 3 z: each value moves by 9 σ² in the mean square, and D, a difference of two values, by 18 σ²."""
    sigma = 0.1
    assert float(latent_sensitivity(batch(), sigma)) == pytest.approx(9 * sigma**2, rel=0.1)
    assert float(latent_consistency(batch(), sigma)) == pytest.approx(18 * sigma**2, rel=0.15)
    assert float(latent_consistency(batch(), 0.0)) == float(latent_sensitivity(batch(), 0.0)) == 0


def test_the_discriminator_is_to_be_consistent_and_the_generator_sensitive() -> None:
    loss = made("zcr", discriminator=5.0, generator=0.5, noise=0.1)
    of_d, of_g = terms(loss, "discriminator", batch()), terms(loss, "generator", batch())
    assert float(of_d.total) == pytest.approx(5 * float(of_d.terms["consistency_latent"]))
    assert float(of_g.total) == pytest.approx(-0.5 * float(of_g.terms["sensitivity"]))
    assert float(of_g.total) < 0 < float(of_d.total)


def test_icr_is_the_sum_of_both() -> None:
    options = {"real": 1.0, "fake": 2.0, "discriminator": 3.0, "generator": 4.0, "noise": 0.2}
    found = terms(made("icr", **options), "discriminator", batch())
    parts = {name: float(value) for name, value in found.terms.items()}
    weights = {"consistency_real": 1, "consistency_fake": 2, "consistency_latent": 3}
    assert float(found.total) == pytest.approx(sum(weights[name] * value for name, value in parts.items()))
    of_g = terms(made("icr", **options), "generator", batch())
    assert float(of_g.total) == pytest.approx(-4 * float(of_g.terms["sensitivity"]))


def test_mode_seeking_divides_the_distance_of_images_by_that_of_latents_for_each_pair() -> None:
    found = terms(made("mode-seeking", weight=2.0), "generator", batch())
    assert float(found.terms["mode_seeking_ratio"]) == pytest.approx(3, rel=1e-4)  # G = 3 z
    assert float(found.total) == pytest.approx(2 / 3, rel=1e-4)
    latents = torch.tensor([[0.0], [0.0]])
    images = torch.zeros(2, 1, 1, 1)
    ratio = mean_ratio(images, torch.tensor([2.0, 3.0]).view(2, 1, 1, 1), latents, torch.tensor([[1.0], [-6.0]]))
    assert float(ratio) == pytest.approx((2 / 1 + 3 / 6) / 2)


def test_a_collapsed_generator_has_a_finite_loss_whose_gradient_drives_images_apart() -> None:
    factor = torch.tensor(1e-4, requires_grad=True)
    latents, others = torch.randn(8, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(8, 2)
    value = 1 / (mean_ratio(factor * latents[:, None, None], factor * others[:, None, None], latents, others) + 1e-5)
    (gradient,) = torch.autograd.grad(value, factor)
    assert bool(value.isfinite())
    assert float(gradient) < 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("game", ["non-saturating", "minimax", "lsgan", "hinge"])
def test_the_games_themselves_are_unchanged(name: str, game: str) -> None:
    loss, plain = made(name, game=game), made(game)
    real, fake = torch.tensor([0.5, 2.0]), torch.tensor([-1.0, 0.25])
    assert loss.discriminator(real, fake) == plain.discriminator(real, fake)
    assert loss.generator(fake, None) == plain.generator(fake, None)
    assert loss.boundary == plain.boundary


@pytest.mark.parametrize("name", NAMES)
def test_smoothing_is_refused_where_it_has_no_effect(name: str) -> None:
    with pytest.raises(genbench.GenbenchError, match=rf"{name}\.label_smoothing = 0\.1 has no effect"):
        made(name, game="hinge", label_smoothing=0.1)
