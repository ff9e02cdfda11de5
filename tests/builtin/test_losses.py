"""Variational losses: closed forms and independence of the batch size; every built-in loss can be created."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from genbench.builtin.losses import genbench_losses
from genbench.builtin.losses.variational import ElboOptions
from genbench.builtin.losses.variational.bounds import bernoulli_nll, elbo, gaussian_nll, kl_to_standard_normal
from genbench.exchange import Posterior
from genbench.specs import resolve


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
