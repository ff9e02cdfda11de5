"""Built-in losses: closed forms, extremes, and independence of the batch size."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from genbench.builtin.losses import genbench_losses
from genbench.builtin.losses.adversarial.games import (
    binary_cross_entropy,
    minimax_generator,
    non_saturating_generator,
)
from genbench.builtin.losses.variational import ElboOptions
from genbench.builtin.losses.variational.bounds import bernoulli_nll, elbo, gaussian_nll, kl_to_standard_normal
from genbench.exchange import Posterior
from genbench.specs import resolve

LN2 = math.log(2)


def logits(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def double(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def test_a_discriminator_that_cannot_tell_pays_two_ln_two() -> None:
    assert binary_cross_entropy(logits(0, 0), logits(0, 0)).item() == pytest.approx(2 * LN2)


def test_the_generators_losses_at_a_logit_of_zero() -> None:
    assert non_saturating_generator(logits(0)).item() == pytest.approx(LN2)  # -log 1/2
    assert minimax_generator(logits(0)).item() == pytest.approx(-LN2)  # log(1 - 1/2)


@given(st.floats(-30, 30), st.floats(-30, 30))
def test_the_losses_are_the_textbook_logarithms_of_probabilities(real: float, fake: float) -> None:
    def log_sigmoid(x: float) -> float:
        return -math.log1p(math.exp(-x)) if x > -700 else x

    expected = -log_sigmoid(real) - log_sigmoid(-fake)
    found = binary_cross_entropy(double(real), double(fake)).item()
    assert found == pytest.approx(expected, abs=1e-8)
    assert non_saturating_generator(double(fake)).item() == pytest.approx(-log_sigmoid(fake), abs=1e-8)
    assert minimax_generator(double(fake)).item() == pytest.approx(log_sigmoid(-fake), abs=1e-8)


@pytest.mark.parametrize("extreme", [-50.0, 50.0, -1e4, 1e4])
def test_losses_and_gradients_stay_finite_where_probabilities_round_to_zero_and_one(extreme: float) -> None:
    real, fake = torch.tensor([extreme], requires_grad=True), torch.tensor([-extreme], requires_grad=True)
    total = binary_cross_entropy(real, fake) + non_saturating_generator(fake) + minimax_generator(fake)
    total.backward()  # type: ignore[no-untyped-call]
    assert math.isfinite(total.item())
    assert bool(real.grad.isfinite().all())  # type: ignore[union-attr]
    assert bool(fake.grad.isfinite().all())  # type: ignore[union-attr]


def test_the_non_saturating_generator_learns_where_the_minimax_one_does_not() -> None:
    sure = torch.tensor([-20.0], requires_grad=True)  # the discriminator is sure that this is a fake
    (strong,) = torch.autograd.grad(non_saturating_generator(sure), sure)
    (weak,) = torch.autograd.grad(minimax_generator(sure), sure)
    assert strong.item() == pytest.approx(-1.0, abs=1e-6)
    assert abs(weak.item()) < 1e-8


def posterior(batch: int = 4, seed: int = 0) -> Posterior:
    rng = torch.Generator().manual_seed(seed)
    return Posterior(
        images=torch.rand(batch, 1, 3, 3, generator=rng),
        logits=torch.randn(batch, 1, 3, 3, generator=rng),
        mean=torch.randn(batch, 5, generator=rng),
        log_variance=torch.randn(batch, 5, generator=rng),
        latents=torch.randn(batch, 5, generator=rng),
    )


def doubled(given: Posterior) -> Posterior:
    return Posterior(**{name: torch.cat([value, value]) for name, value in dataclasses.asdict(given).items()})


def test_kl_is_that_of_torch_distributions_and_zero_for_the_prior_itself() -> None:
    p = posterior()
    normal = torch.distributions.Normal
    expected = (
        torch.distributions.kl_divergence(normal(p.mean, (p.log_variance / 2).exp()), normal(0.0, 1.0)).sum(1).mean()
    )
    assert kl_to_standard_normal(p.mean, p.log_variance).item() == pytest.approx(expected.item(), rel=1e-6)
    assert kl_to_standard_normal(torch.zeros(3, 5), torch.zeros(3, 5)).item() == 0.0


def test_reconstruction_terms_are_negative_log_likelihoods_summed_over_pixels() -> None:
    p = posterior()
    binary = (p.images > 0.5).float()
    expected = -torch.distributions.Bernoulli(logits=p.logits).log_prob(binary).sum((1, 2, 3)).mean()
    assert bernoulli_nll(binary, p.logits).item() == pytest.approx(expected.item(), rel=1e-6)
    expected = -torch.distributions.Normal(p.logits.sigmoid(), 0.3).log_prob(p.images).sum((1, 2, 3)).mean()
    assert gaussian_nll(p.images, p.logits, 0.3).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_elbo_does_not_change_when_the_batch_is_doubled(likelihood: str) -> None:
    loss = elbo(ElboOptions(likelihood=likelihood, beta=2.5))  # type: ignore[arg-type]
    once, twice = loss.objective(posterior()), loss.objective(doubled(posterior()))
    assert once.total.item() == pytest.approx(twice.total.item(), rel=1e-6)
    assert {*once.terms} == {"reconstruction", "kl"}


def test_beta_weighs_the_kl_term_and_the_curves_show_it_unweighted() -> None:
    plain, weighted = (elbo(ElboOptions(beta=beta)).objective(posterior()) for beta in (1.0, 4.0))
    assert weighted.terms["kl"].item() == plain.terms["kl"].item()
    assert (weighted.total - plain.total).item() == pytest.approx(3 * plain.terms["kl"].item(), rel=1e-5)


def test_every_loss_states_formula_and_source_and_can_be_created() -> None:
    for spec in genbench_losses():
        assert spec.formula
        assert spec.source
        defaults = {option.name: option.default for option in spec.option_schema}
        assert resolve(spec.create)(spec.make_options(defaults)) is not None
