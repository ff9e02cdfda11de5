"""Adversarial losses: closed forms, extremes, symmetries, and penalties on discriminators whose gradient is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import genbench
from genbench.api.options import resolve_options
from genbench.api.recipe import resolve_recipe
from genbench.api.specs import LossSpec, resolve
from genbench.api.training import AdversarialLoss
from genbench.builtin.losses.adversarial import games, penalties, specs
from genbench.errors import UsageError

LN2 = math.log(2)
ELSEWHERE = (
    *("lecam", "began", "ebgan", "ebgan-pt"),  # with state, or of energies: see test_state.py and test_energies.py
    *("cr", "bcr", "zcr", "icr", "mode-seeking"),  # see test_further_terms.py
)
LOSSES: dict[str, LossSpec] = {spec.name: spec for spec in specs() if spec.name not in ELSEWHERE}
LOGITS = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=5)


def made(name: str, **options: Any) -> AdversarialLoss:
    spec = LOSSES[name]
    loss: AdversarialLoss = resolve(spec.create)(spec.make_options(resolve_options(spec.option_schema, options, name)))
    return loss


def logits(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(count: int = 4, channels: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(count, channels, 3, 3, generator=generator(seed))


# ----------------------------------------------------------------------------------------------------------------------
# Games


@pytest.mark.parametrize(
    ("name", "discriminator", "generators"),
    [
        ("non-saturating", 2 * LN2, LN2),
        ("minimax", 2 * LN2, -LN2),
        ("lsgan", 0.5, 0.5),
        ("lsgan-pearson", 1.0, 0.0),
        ("hinge", 2.0, 0.0),
        ("wgan", 0.0, 0.0),
        ("wgan-gp", 0.0, 0.0),
        ("dragan", 2 * LN2, LN2),
        ("r1", 2 * LN2, LN2),
        ("relativistic", 2 * LN2, 2 * LN2),
        ("rpgan-r1-r2", LN2, LN2),
        ("weighted", LN2, LN2 / 2),
    ],
)
def test_the_losses_of_an_uninformative_discriminator(name: str, discriminator: float, generators: float) -> None:
    loss, zero = made(name), logits(0, 0)
    assert loss.discriminator(zero, zero).item() == pytest.approx(discriminator)
    assert loss.generator(zero, zero).item() == pytest.approx(generators)


def test_every_loss_has_its_closed_form_here() -> None:
    assert {*LOSSES} == {
        *("minimax", "non-saturating", "lsgan", "lsgan-pearson", "hinge", "wgan", "wgan-gp", "dragan", "r1"),
        *("relativistic", "rpgan-r1-r2", "weighted"),
    }


def test_the_optimal_logits_of_each_game_have_no_loss() -> None:
    assert made("lsgan").discriminator(logits(1, 1), logits(0, 0)).item() == 0
    assert made("lsgan").generator(logits(1, 1), None).item() == 0
    assert made("lsgan-pearson").discriminator(logits(1, 1), logits(-1, -1)).item() == 0
    assert made("lsgan-pearson").generator(logits(0, 0), None).item() == 0
    assert made("hinge").discriminator(logits(1, 5), logits(-1, -5)).item() == 0
    assert made("non-saturating").discriminator(logits(50), logits(-50)).item() == pytest.approx(0, abs=1e-20)


# The definitions, written with probabilities and mathematical functions of Python in double precision.


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > -30 else x - math.exp(x)


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


Reference = Callable[[list[float], list[float]], tuple[float, float]]
REFERENCES: dict[str, Reference] = {
    "non-saturating": lambda r, f: (
        -mean([log_sigmoid(x) for x in r]) - mean([log_sigmoid(-x) for x in f]),
        -mean([log_sigmoid(x) for x in f]),
    ),
    "minimax": lambda r, f: (
        -mean([log_sigmoid(x) for x in r]) - mean([log_sigmoid(-x) for x in f]),
        mean([log_sigmoid(-x) for x in f]),
    ),
    "lsgan": lambda r, f: (
        0.5 * mean([(x - 1) ** 2 for x in r]) + 0.5 * mean([x * x for x in f]),
        0.5 * mean([(x - 1) ** 2 for x in f]),
    ),
    "lsgan-pearson": lambda r, f: (
        0.5 * mean([(x - 1) ** 2 for x in r]) + 0.5 * mean([(x + 1) ** 2 for x in f]),
        0.5 * mean([x * x for x in f]),
    ),
    "hinge": lambda r, f: (
        mean([max(0.0, 1 - x) for x in r]) + mean([max(0.0, 1 + x) for x in f]),
        -mean(f),
    ),
    "wgan": lambda r, f: (mean(f) - mean(r), -mean(f)),
    "relativistic": lambda r, f: (
        -mean([log_sigmoid(x - mean(f)) for x in r]) - mean([log_sigmoid(mean(r) - x) for x in f]),
        -mean([log_sigmoid(x - mean(r)) for x in f]) - mean([log_sigmoid(mean(f) - x) for x in r]),
    ),
    "rpgan-r1-r2": lambda r, f: (
        -mean([log_sigmoid(a - b) for a, b in zip(r, f, strict=True)]),
        -mean([log_sigmoid(b - a) for a, b in zip(r, f, strict=True)]),
    ),
}


@pytest.mark.parametrize("name", list(REFERENCES))
@given(pairs=st.lists(st.tuples(st.floats(-50, 50, width=32), st.floats(-50, 50, width=32)), min_size=1, max_size=5))
def test_losses_in_single_precision_match_the_textbook_values(name: str, pairs: list[tuple[float, float]]) -> None:
    real, fake = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    loss = made(name)
    found = loss.discriminator(logits(*real), logits(*fake)).item(), loss.generator(logits(*fake), logits(*real)).item()
    assert found == pytest.approx(REFERENCES[name](real, fake), rel=1e-5, abs=1e-5)


def gradients(loss: AdversarialLoss, real: float, fake: float, dtype: torch.dtype) -> list[float]:
    r = torch.tensor([real, 0.5], dtype=dtype, requires_grad=True)
    f = torch.tensor([fake, -0.5], dtype=dtype, requires_grad=True)
    found = torch.autograd.grad(loss.discriminator(r, f), (r, f))
    found += torch.autograd.grad(loss.generator(f, r.detach()), f)
    return torch.cat(found).tolist()


@pytest.mark.parametrize("name", list(LOSSES))
@pytest.mark.parametrize("real", [-50.0, 0.25, 50.0])
@pytest.mark.parametrize("fake", [-50.0, 0.25, 50.0])
def test_gradients_are_right_where_probabilities_round_to_zero_and_one(name: str, real: float, fake: float) -> None:
    """The logarithm of a rounded probability has no gradient there, and with an added ε a wrong one."""
    loss = made(name)
    single = gradients(loss, real, fake, torch.float32)
    double = gradients(loss, real, fake, torch.float64)
    assert all(map(math.isfinite, single))
    assert single == pytest.approx(double, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("extreme", [-1e30, -1e4, 1e4, 1e30])
@pytest.mark.parametrize("name", sorted({*LOSSES} - {"lsgan", "lsgan-pearson"}))  # whose squares may overflow
def test_losses_and_gradients_stay_finite_for_extreme_logits(name: str, extreme: float) -> None:
    loss = made(name)
    assert all(map(math.isfinite, gradients(loss, extreme, -extreme, torch.float32)))
    assert math.isfinite(loss.discriminator(logits(extreme), logits(-extreme)).item())
    assert math.isfinite(loss.generator(logits(extreme), logits(-extreme)).item())


@given(st.floats(-30, 30))
def test_the_complement_of_a_probability_is_the_probability_of_the_opposite_logit(logit: float) -> None:
    """log(1 - sigmoid(l)) is log sigmoid(-l), not log sigmoid(1 - l)."""
    fake = torch.tensor([logit], dtype=torch.float64)
    expected = math.log1p(-1 / (1 + math.exp(-logit))) if logit < 20 else -logit - math.log1p(math.exp(-logit))
    assert games.minimax_generator(fake).item() == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_the_non_saturating_generator_learns_where_the_minimax_one_does_not() -> None:
    sure = torch.tensor([-20.0], requires_grad=True)  # the discriminator is sure that this is a fake
    (strong,) = torch.autograd.grad(games.non_saturating_generator(sure), sure)
    (weak,) = torch.autograd.grad(games.minimax_generator(sure), sure)
    assert strong.item() == pytest.approx(-1.0, abs=1e-6)
    assert abs(weak.item()) < 1e-8


@pytest.mark.parametrize("name", list(LOSSES))
@given(real=LOGITS, fake=LOGITS)
def test_losses_do_not_change_when_the_batch_is_doubled(name: str, real: list[float], fake: list[float]) -> None:
    loss, size = made(name), min(len(real), len(fake))
    r, f = torch.tensor(real[:size]), torch.tensor(fake[:size])
    once = loss.discriminator(r, f).item(), loss.generator(f, r).item()
    twice = loss.discriminator(r.repeat(2), f.repeat(2)).item(), loss.generator(f.repeat(2), r.repeat(2)).item()
    assert once == pytest.approx(twice, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", ["relativistic", "rpgan-r1-r2"])
@given(pairs=st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=5), shift=st.floats(-9, 9))
def test_relativistic_losses_depend_only_on_differences_and_swap_real_and_fake(
    name: str, pairs: list[tuple[float, float]], shift: float
) -> None:
    loss, both = made(name), torch.tensor(pairs, dtype=torch.float64)
    real, fake = both.unbind(1)
    assert loss.relativistic
    assert loss.generator(fake, real).item() == loss.discriminator(fake, real).item()
    shifted = loss.discriminator(real + shift, fake + shift).item()
    assert shifted == pytest.approx(loss.discriminator(real, fake).item(), abs=1e-8)


def test_a_relativistic_generator_needs_real_logits() -> None:
    with pytest.raises(TypeError, match="needs the logits of real images"):
        made("relativistic").generator(logits(0), None)


# ----------------------------------------------------------------------------------------------------------------------
# Options


@pytest.mark.parametrize("name", ["non-saturating", "minimax", "dragan", "r1"])
@given(smoothing=st.floats(0.01, 0.9), logit=st.floats(-50, 50))
def test_label_smoothing_lowers_the_target_of_real_images_only(name: str, smoothing: float, logit: float) -> None:
    loss = made(name, label_smoothing=smoothing)
    real = torch.tensor([logit], dtype=torch.float64)
    target = torch.full_like(real, 1 - smoothing)
    expected = nn.functional.binary_cross_entropy_with_logits(real, target).item() + LN2
    assert loss.discriminator(real, real.new_zeros(1)).item() == pytest.approx(expected, abs=1e-7)
    assert loss.generator(real, None).item() == pytest.approx(made(name).generator(real, None).item())


def test_the_optimal_logit_under_label_smoothing_is_that_of_the_target() -> None:
    best = torch.tensor([math.log(0.9 / 0.1)], dtype=torch.float64, requires_grad=True)
    loss = made("non-saturating", label_smoothing=0.1).discriminator(best, torch.zeros(1, dtype=torch.float64))
    assert torch.autograd.grad(loss, best)[0].item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("game", ["non-saturating", "minimax", "lsgan", "hinge", "relativistic"])
def test_weighted_scales_the_two_objectives_of_a_game(game: str) -> None:
    plain, scaled = made(game), made("weighted", game=game, alpha=0.2)
    real, fake = logits(1, -2), logits(0.5, 3)
    assert scaled.weighted
    assert scaled.alpha == 0.2
    assert scaled.relativistic == plain.relativistic
    assert scaled.discriminator(real, fake).item() == pytest.approx(0.2 * plain.discriminator(real, fake).item())
    assert scaled.generator(fake, real).item() == pytest.approx(0.8 * plain.generator(fake, real).item())


def test_weighted_refuses_smoothing_where_it_has_no_effect() -> None:
    with pytest.raises(genbench.GenbenchError, match=r"label_smoothing = 0\.1 has no effect on the game 'hinge'"):
        made("weighted", game="hinge", label_smoothing=0.1)
    smoothed = made("weighted", game="minimax", label_smoothing=0.1, alpha=0.5)
    expected = made("minimax", label_smoothing=0.1).discriminator(logits(2), logits(1)).item() / 2
    assert smoothed.discriminator(logits(2), logits(1)).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "option", "value", "allowed"),
    [
        ("non-saturating", "label_smoothing", 1.0, "≥ 0 ≤ 0.99"),
        ("minimax", "label_smoothing", -0.1, "≥ 0 ≤ 0.99"),
        ("r1", "label_smoothing", float("nan"), "≥ 0 ≤ 0.99"),
        ("wgan", "clip", 0.0, "≥ 1e-06"),
        ("wgan-gp", "penalty_weight", -1.0, "≥ 0"),
        ("dragan", "penalty_weight", float("inf"), "≥ 0"),
        ("dragan", "perturbation", -0.5, "≥ 0"),
        ("r1", "penalty_every", 0, "≥ 1"),
        ("r1", "penalty_every", 1.5, "int ≥ 1"),
        ("r1", "gamma", -1.0, "≥ 0"),
        ("rpgan-r1-r2", "gamma", -1.0, "≥ 0"),
        ("weighted", "alpha", 1.5, "≥ 0.01 ≤ 0.99"),
        ("weighted", "alpha", 0.0, "≥ 0.01 ≤ 0.99"),
        ("weighted", "game", "hing", "Did you mean 'hinge'"),
    ],
)
def test_the_error_for_an_invalid_value_states_name_and_range(
    name: str, option: str, value: object, allowed: str
) -> None:
    with pytest.raises(UsageError) as error:
        made(name, **{option: value})
    assert f"{name}.{option}" in str(error.value)
    assert allowed in str(error.value)


@pytest.mark.parametrize("name", list(LOSSES))
def test_every_loss_states_formula_and_source_and_a_valid_recipe(name: str) -> None:
    spec = LOSSES[name]
    assert spec.formula
    assert spec.source
    resolve_recipe(spec.recipe)
    for option in spec.option_schema:
        assert option.help


def test_recipes_are_those_of_the_papers() -> None:
    assert LOSSES["wgan"].recipe == {"optimizer": "rmsprop", "learning_rate": 5e-5, "discriminator_steps": 5}
    assert made("wgan").clip_weights == 0.01
    gp = {"optimizer": "adam", "learning_rate": 1e-4, "beta1": 0.0, "beta2": 0.9, "discriminator_steps": 5}
    assert LOSSES["wgan-gp"].recipe == gp
    assert made("r1").penalty_every == 16


# ----------------------------------------------------------------------------------------------------------------------
# Penalties


def linear(weight: Tensor) -> penalties.Discriminator:
    """D(x) = ⟨w, x⟩, whose gradient is w everywhere."""
    return lambda x: (x * weight).sum((1, 2, 3))


def quadratic(x: Tensor) -> Tensor:
    """D(x) = ½‖x‖², whose gradient is x."""
    return 0.5 * x.square().sum((1, 2, 3))


def value(loss: AdversarialLoss, discriminator: penalties.Discriminator, real: Tensor, fake: Tensor) -> float:
    assert loss.penalty is not None
    return loss.penalty(discriminator, real, fake, generator()).item()


@pytest.mark.parametrize("channels", [1, 3])
def test_penalties_on_a_linear_discriminator_depend_only_on_the_norm_of_its_weight(channels: int) -> None:
    weight = images(1, channels, seed=5)[0]
    norm = weight.norm().item()
    real, fake = images(4, channels, seed=1), images(4, channels, seed=2)
    d = linear(weight)
    assert value(made("wgan-gp"), d, real, fake) == pytest.approx(10 * (norm - 1) ** 2, rel=1e-5)
    assert value(made("wgan-gp", penalty_weight=2), d, real, fake) == pytest.approx(2 * (norm - 1) ** 2, rel=1e-5)
    assert value(made("dragan"), d, real, fake) == pytest.approx(10 * (norm - 1) ** 2, rel=1e-5)
    assert value(made("r1", gamma=10), d, real, fake) == pytest.approx(10 / 2 * norm**2, rel=1e-5)
    assert value(made("rpgan-r1-r2"), d, real, fake) == pytest.approx(1 / 2 * 2 * norm**2, rel=1e-5)


def test_penalties_on_a_quadratic_discriminator_use_one_norm_per_image() -> None:
    """Its gradient is the image: the penalties must be means over images of functions of each image's own norm."""
    real, fake = images(4, seed=1), 2 * images(4, seed=2)
    squared_real, squared_fake = real.square().sum((1, 2, 3)), fake.square().sum((1, 2, 3))
    assert value(made("r1", gamma=3), quadratic, real, fake) == pytest.approx(1.5 * squared_real.mean().item())
    paired = value(made("rpgan-r1-r2", gamma=3), quadratic, real, fake)
    assert paired == pytest.approx(1.5 * (squared_real.mean() + squared_fake.mean()).item())
    between = penalties.interpolate(real, fake, generator()).flatten(1).norm(dim=1)
    assert value(made("wgan-gp"), quadratic, real, fake) == pytest.approx(10 * (between - 1).square().mean().item())
    around = penalties.perturb(real, 0.5, generator()).flatten(1).norm(dim=1)
    assert value(made("dragan"), quadratic, real, fake) == pytest.approx(10 * (around - 1).square().mean().item())


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(9, 8), nn.Tanh(), nn.Linear(8, 1))


@given(st.integers(1, 6), st.integers(0, 1000))
def test_the_penalty_of_a_batch_is_the_mean_of_the_penalties_of_its_images(count: int, seed: int) -> None:
    d, x = network(), images(count, seed=seed)
    for penalty in (penalties.one_centred, penalties.zero_centred):
        whole = penalty(d, x).item()
        assert whole == pytest.approx(mean([penalty(d, one).item() for one in x.split(1)]), rel=1e-4, abs=1e-6)
        assert whole == pytest.approx(penalty(d, torch.cat([x, x])).item(), rel=1e-4, abs=1e-6)


def test_interpolation_draws_one_share_per_image() -> None:
    real, fake = torch.ones(64, 3, 5, 5), torch.zeros(64, 3, 5, 5)
    epsilon = penalties.interpolate(real, fake, generator())  # between 0 and 1 the point is the share itself
    assert torch.equal(epsilon, epsilon[:, :1, :1, :1].expand_as(epsilon))
    shares = epsilon[:, 0, 0, 0]
    assert len(shares.unique()) == 64
    assert 0 <= shares.min() < 0.1
    assert 0.9 < shares.max() < 1
    assert shares.mean().item() == pytest.approx(0.5, abs=0.15)


def test_perturbation_is_noise_per_pixel_of_up_to_half_a_standard_deviation() -> None:
    real = 3 * images(64, 3, seed=1) + 7
    noise = (penalties.perturb(real, 0.5, generator()) - real) / real.std(correction=0)
    assert noise.min() >= -1e-5
    assert 0.49 < noise.max() <= 0.5 + 1e-5
    assert noise.mean().item() == pytest.approx(0.25, abs=0.01)
    assert len(noise.unique()) > 1000
    doubled = penalties.perturb(torch.cat([real, real]), 0.5, generator())
    torch.testing.assert_close(doubled[:64], real + noise * real.std(correction=0))  # the deviation has not changed
    single = torch.zeros(1, 1, 1, 1)
    assert torch.equal(penalties.perturb(single, 0.5, generator()), single)  # one value has a deviation of 0, not NaN


@pytest.mark.parametrize("name", ["wgan-gp", "dragan", "r1", "rpgan-r1-r2"])
def test_penalties_can_be_minimised_and_do_not_change_their_images(name: str) -> None:
    d, real, fake = network(), images(4, seed=1), images(4, seed=2).requires_grad_()
    penalty = made(name).penalty
    assert penalty is not None
    penalty(d, real, fake.detach(), generator()).backward()  # type: ignore[no-untyped-call]
    gradient = next(d.parameters()).grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    assert not real.requires_grad
    assert fake.grad is None


@pytest.mark.parametrize("name", ["wgan-gp", "dragan", "r1", "rpgan-r1-r2"])
def test_a_flat_discriminator_has_a_finite_gradient(name: str) -> None:
    """At a gradient of zero the norm has a kink: its derivative must not be NaN."""
    weight = torch.zeros(1, 3, 3, requires_grad=True)
    penalty = made(name).penalty
    assert penalty is not None
    total = penalty(linear(weight), images(seed=1), images(seed=2), generator())
    assert total.item() == (0.0 if name in ("r1", "rpgan-r1-r2") else 10.0)
    assert torch.autograd.grad(total, weight)[0].isfinite().all()


@pytest.mark.parametrize(
    ("name", "option"), [("wgan-gp", "penalty_weight"), ("dragan", "penalty_weight"), ("r1", "gamma")]
)
def test_a_weight_of_zero_creates_no_penalty(name: str, option: str) -> None:
    assert made(name, **{option: 0}).penalty is None
