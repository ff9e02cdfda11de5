"""Variational losses: closed forms, extremes, unbiased estimators, and independence of the batch size."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.utils._python_dispatch import TorchDispatchMode

import genbench
from genbench.api.options import resolve_options
from genbench.api.specs import resolve
from genbench.api.training import Objective, Posterior
from genbench.builtin.losses.variational import (
    BetaTCVAEOptions,
    BetaVAEOptions,
    ElboOptions,
    InfoVAEOptions,
    IWAEOptions,
    LikelihoodOptions,
    WAEOptions,
    specs,
)
from genbench.builtin.losses.variational.bounds import beta_vae, elbo, importance_weighted_bound, iwae
from genbench.builtin.losses.variational.discrepancy import SCALES, info_vae, mmd, wae_mmd
from genbench.builtin.losses.variational.divergences import kl_to_standard_normal
from genbench.builtin.losses.variational.likelihoods import (
    LearnedScale,
    bernoulli_nll,
    discretised_logistic_nll,
    gaussian_nll,
    make_likelihood,
)
from genbench.builtin.losses.variational.total_correlation import (
    beta_tc_vae,
    decompose,
    stratified_log_weights,
    weighted_log_weights,
)
from genbench.errors import UsageError

SPECS = {spec.name: spec for spec in specs()}
LIKELIHOODS = ("bernoulli", "gaussian", "gaussian-learned", "logistic")


def create(name: str, **options: Any) -> genbench.VariationalLoss:
    spec = SPECS[name]
    loss = resolve(spec.create)(spec.make_options(resolve_options(spec.option_schema, options, name)))
    assert isinstance(loss, genbench.VariationalLoss)
    return loss


def posterior(batch: int = 4, draws: int = 1, seed: int = 0) -> Posterior:
    rng = torch.Generator().manual_seed(seed)
    mean = torch.randn(batch, 5, generator=rng)
    log_variance = torch.randn(batch, 5, generator=rng)
    noise = torch.randn(draws, batch, 5, generator=rng)
    return Posterior(
        images=torch.rand(batch, 1, 3, 3, generator=rng),
        logits=torch.randn(draws * batch, 1, 3, 3, generator=rng),
        mean=mean,
        log_variance=log_variance,
        latents=(mean + (log_variance / 2).exp() * noise).flatten(0, 1),
        prior=torch.randn(batch, 5, generator=rng),
        train_size=100,
        progress=torch.tensor(0.5),
    )


def doubled(p: Posterior) -> Posterior:
    """Every image twice."""
    tensors = ("images", "logits", "mean", "log_variance", "latents")
    return dataclasses.replace(p, **{name: torch.cat([getattr(p, name)] * 2) for name in tensors})


def numbers(objective: Objective) -> dict[str, float]:
    return {"total": objective.total.item(), **{name: term.item() for name, term in objective.terms.items()}}


# Likelihoods


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("name", ["bernoulli", "gaussian", "gaussian-learned", "logistic"])
def test_the_mean_over_decoded_images_is_that_of_the_likelihood(name: str, draws: int) -> None:
    p = posterior()
    likelihood = make_likelihood(LikelihoodOptions(likelihood=name, sigma=0.5))  # type: ignore[arg-type]
    logits = torch.cat([p.logits + draw for draw in range(draws)])
    torch.testing.assert_close(likelihood.mean(p.images, logits), likelihood.nll(p.images, logits).mean())


def test_reconstruction_is_the_negative_log_likelihood_summed_over_pixels() -> None:
    p = posterior()
    binary = (p.images > 0.5).float()
    expected = -Bernoulli(logits=p.logits).log_prob(binary).sum((1, 2, 3))
    torch.testing.assert_close(bernoulli_nll(binary, p.logits), expected)
    expected = -Normal(p.logits.sigmoid(), 0.3).log_prob(p.images).sum((1, 2, 3))
    torch.testing.assert_close(gaussian_nll(p.images, p.logits, math.log(0.3)), expected)
    torch.testing.assert_close(gaussian_nll(p.images, p.logits, torch.tensor(math.log(0.3))), expected)


@given(st.floats(-50, 50), st.floats(-8, 3))
def test_the_probabilities_of_the_256_logistic_levels_sum_to_one(logit: float, log_s: float) -> None:
    levels = (torch.arange(256, dtype=torch.float64) / 255).view(256, 1, 1, 1)
    nll = discretised_logistic_nll(levels, torch.full_like(levels, logit), torch.tensor(log_s, dtype=torch.float64))
    assert (-nll).exp().sum().item() == pytest.approx(1.0, abs=1e-9)


def test_the_discretised_logistic_is_a_difference_of_cumulative_probabilities() -> None:
    scale, mean = 0.04, 0.3
    logits = torch.full((1, 1, 1, 1), math.log(mean / (1 - mean)), dtype=torch.float64)
    for level in (1, 70, 77, 254):
        x = level / 255
        high, low = (1 / (1 + math.exp(-(x + side / 510 - mean) / scale)) for side in (1, -1))
        found = discretised_logistic_nll(torch.full_like(logits, x), logits, torch.tensor(math.log(scale)).double())
        assert found.item() == pytest.approx(-math.log(high - low), rel=1e-7)


def test_each_of_several_draws_is_compared_with_its_own_image() -> None:
    p = posterior(batch=3, draws=2)
    for likelihood in LIKELIHOODS:
        nll = make_likelihood(LikelihoodOptions(likelihood=likelihood)).nll  # type: ignore[arg-type]
        apart = torch.cat([nll(p.images, p.logits[:3]), nll(p.images, p.logits[3:])])
        torch.testing.assert_close(nll(p.images, p.logits), apart)


@pytest.mark.parametrize("start", [1e-4, 0.1, 1.0, 1000.0])
def test_a_learned_scale_starts_at_its_option(start: float) -> None:
    assert LearnedScale(start)().exp().item() == pytest.approx(start, rel=1e-4)


@pytest.mark.parametrize("residual", [0.03, 0.4])
def test_the_learned_sigma_converges_to_the_standard_deviation_of_the_residual(residual: float) -> None:
    loss = elbo(ElboOptions(likelihood="gaussian-learned"))
    assert loss.module is not None
    p = posterior()
    noise = torch.randn(4, 1, 20, 20, generator=torch.Generator().manual_seed(1))
    p = dataclasses.replace(p, images=0.5 + residual * noise, logits=torch.zeros_like(noise))
    optimizer = torch.optim.Adam(loss.module.parameters(), lr=1e-3)  # the rate of the built-in models
    for _ in range(600):
        optimizer.zero_grad()
        loss.objective(p).total.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    expected = (p.images - 0.5).square().mean().sqrt().item()
    assert loss.objective(p).terms["scale"].item() == pytest.approx(expected, rel=0.01)


# Divergences and the ELBO


def test_kl_is_that_of_torch_distributions_and_zero_for_the_prior_itself() -> None:
    p = posterior()
    expected = kl_divergence(Normal(p.mean, (p.log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1).mean()
    assert kl_to_standard_normal(p.mean, p.log_variance).item() == pytest.approx(expected.item(), rel=1e-6)
    assert kl_to_standard_normal(torch.zeros(3, 5), torch.zeros(3, 5)).item() == 0.0


def test_beta_weights_the_kl_term_and_the_curves_show_it_unweighted() -> None:
    plain, weighted = (elbo(ElboOptions(beta=beta)).objective(posterior()) for beta in (1.0, 4.0))
    assert weighted.terms["kl"].item() == plain.terms["kl"].item()
    assert (weighted.total - plain.total).item() == pytest.approx(3 * plain.terms["kl"].item(), rel=1e-5)


def test_beta_vae_with_beta_one_is_the_elbo() -> None:
    assert numbers(beta_vae(BetaVAEOptions(beta=1.0)).objective(posterior())) == numbers(
        elbo(ElboOptions()).objective(posterior())
    )


ANNEALING = [
    ("linear", {"annealing_share": 0.25}, {0.0: 0.0, 0.125: 0.5, 0.25: 1.0, 0.9: 1.0}),
    (
        "cyclical",  # four cycles of a quarter each; β rises in the first half of each
        {"annealing_share": 0.5, "annealing_cycles": 4},
        {0.0: 0.0, 0.0625: 0.5, 0.125: 1.0, 0.2: 1.0, 0.25: 0.0, 0.5625: 0.5, 0.99: 1.0},
    ),
]


@pytest.mark.parametrize(("kind", "options", "course"), ANNEALING)
def test_annealing_follows_its_schedule(kind: Any, options: dict[str, Any], course: dict[float, float]) -> None:
    loss = elbo(ElboOptions(beta=2.0, annealing=kind, **options))
    for progress, weight in course.items():
        found = loss.objective(dataclasses.replace(posterior(), progress=torch.tensor(progress)))
        assert found.terms["beta"].item() == pytest.approx(2 * weight)
        expected = found.terms["reconstruction"] + 2 * weight * found.terms["kl"]
        assert found.total.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("kind", ["linear", "cyclical"])
def test_without_progress_annealing_has_ended(kind: Any) -> None:
    unknown = dataclasses.replace(posterior(), progress=None)
    annealed = elbo(ElboOptions(beta=2.0, annealing=kind)).objective(unknown).total
    assert annealed.item() == elbo(ElboOptions(beta=2.0)).objective(unknown).total.item()


def test_with_free_bits_each_latent_costs_its_mean_kl_but_at_least_the_free_bits() -> None:
    mean = torch.tensor([[0.2, 2.0], [0.4, 2.0]], requires_grad=True)  # KL = μ²/2: 0.05 on average, and 2
    p = dataclasses.replace(posterior(2), mean=mean, log_variance=torch.zeros(2, 2))
    found = elbo(ElboOptions(free_bits=0.5, beta=3.0)).objective(p)
    assert found.terms["kl"].item() == pytest.approx(2.05)
    assert (found.total - found.terms["reconstruction"]).item() == pytest.approx(3 * (0.5 + 2.0), rel=1e-5)
    (gradient,) = torch.autograd.grad(found.total, mean)
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 3.0], [0.0, 3.0]]))  # the first latent is free


@pytest.mark.parametrize(("progress", "capacity"), [(0.0, 0.0), (0.2, 5.0), (0.4, 10.0), (0.9, 10.0), (None, 10.0)])
def test_the_capacity_form_penalises_the_distance_of_the_kl_from_a_rising_capacity(
    progress: float | None, capacity: float
) -> None:
    loss = beta_vae(BetaVAEOptions(capacity=10.0, capacity_weight=7.0, capacity_share=0.4))
    now = None if progress is None else torch.tensor(progress)
    found = loss.objective(dataclasses.replace(posterior(), progress=now))
    assert found.terms["capacity"].item() == pytest.approx(capacity)
    expected = 7 * abs(found.terms["kl"].item() - capacity)
    assert (found.total - found.terms["reconstruction"]).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("other", [{"annealing": "linear"}, {"free_bits": 0.1}])
def test_a_capacity_with_another_schedule_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(genbench.GenbenchError, match=r"beta-vae\.capacity = 10 cannot be combined"):
        create("beta-vae", capacity=10.0, **other)


def test_a_capacity_replaces_beta() -> None:
    with pytest.raises(genbench.GenbenchError, match=r"beta-vae\.beta = 8 has no effect with beta-vae\.capacity = 10"):
        create("beta-vae", capacity=10.0, beta=8.0)


# The importance-weighted bound


def test_iwae_of_one_draw_is_the_elbo_with_the_kl_of_that_draw() -> None:
    p = posterior()
    found = iwae(IWAEOptions(samples=1)).objective(p)
    q = Normal(p.mean, (p.log_variance / 2).exp())
    drawn_kl = (q.log_prob(p.latents) - Normal(0.0, 1.0).log_prob(p.latents)).sum(1).mean()
    bound = elbo(ElboOptions()).objective(p)
    assert found.total.item() == pytest.approx((bound.terms["reconstruction"] + drawn_kl).item(), rel=1e-5)
    assert found.terms["kl"].item() == bound.terms["kl"].item()


def test_iwae_pairs_each_draw_with_its_image() -> None:
    """Written out with a loop over images and draws, in double precision."""
    p = posterior(batch=3, draws=4)
    bounds = []
    for image in range(3):
        weights = []
        for row in range(image, 12, 3):
            q = Normal(p.mean[image].double(), (p.log_variance[image].double() / 2).exp())
            z = p.latents[row].double()
            log_p = Bernoulli(logits=p.logits[row].double(), validate_args=False).log_prob(p.images[image].double())
            weights.append((log_p.sum() + Normal(0.0, 1.0).log_prob(z).sum() - q.log_prob(z).sum()).exp())
        bounds.append((sum(weights) / 4).log())  # type: ignore[union-attr]
    expected = -torch.stack(bounds).mean().item()
    assert iwae(IWAEOptions(samples=4)).objective(p).total.item() == pytest.approx(expected, rel=1e-5)


def test_more_draws_give_a_tighter_bound_and_none_exceeds_the_log_likelihood() -> None:
    """z ~ N(0, 1), x = z + N(0, 1) noise, so p(x) = N(0, 2) and p(z|x) = N(x/2, 1/2)."""
    x, rng = 1.5, torch.Generator().manual_seed(0)
    log_likelihood = Normal(0.0, math.sqrt(2)).log_prob(torch.tensor(x)).item()

    def bound(q: Normal, draws: int) -> float:
        z = q.mean + q.stddev * torch.randn(draws, 20_000, generator=rng)
        joint = Normal(0.0, 1.0).log_prob(z) + Normal(z, 1.0).log_prob(torch.tensor(x))
        return importance_weighted_bound(joint - q.log_prob(z)).item()

    prior = Normal(torch.tensor(0.0), torch.tensor(1.0))
    bounds = [bound(prior, draws) for draws in (1, 2, 5, 20)]
    assert bounds[0] < bounds[1] < bounds[2] < bounds[3] < log_likelihood
    assert bounds[0] == pytest.approx(-0.5 * math.log(2 * math.pi) - (x**2 + 1) / 2, abs=0.03)  # E log p(x|z)
    exact = Normal(torch.tensor(x / 2), torch.tensor(math.sqrt(0.5)))
    assert [bound(exact, draws) for draws in (1, 5)] == [pytest.approx(log_likelihood, abs=1e-5)] * 2


# Total correlation


@pytest.mark.parametrize("make_weights", [stratified_log_weights, weighted_log_weights])
def test_the_parts_of_the_kl_sum_to_it(make_weights: Any) -> None:
    p = posterior(6)
    parts = decompose(p.latents, p.mean, p.log_variance, make_weights(6, 100, torch.device("cpu")))
    q = Normal(p.mean, (p.log_variance / 2).exp())
    drawn_kl = (q.log_prob(p.latents) - Normal(0.0, 1.0).log_prob(p.latents)).sum(1).mean()
    assert sum(parts).item() == pytest.approx(drawn_kl.item(), rel=1e-4)  # type: ignore[union-attr]


def test_with_equal_weights_beta_tc_vae_is_the_elbo_on_average() -> None:
    p = dataclasses.replace(posterior(4), logits=torch.zeros(4, 1, 3, 3))
    loss, rng = beta_tc_vae(BetaTCVAEOptions(beta=1.0)), torch.Generator().manual_seed(3)
    totals = []
    for _ in range(2000):
        noise = torch.randn(p.mean.shape, generator=rng)
        drawn = dataclasses.replace(p, latents=p.mean + (p.log_variance / 2).exp() * noise)
        totals.append(loss.objective(drawn).total)
    found = torch.stack(totals)
    expected = elbo(ElboOptions()).objective(p).total.item()
    assert found.mean().item() == pytest.approx(expected, abs=4 * found.std().item() / math.sqrt(2000))


def test_stratified_weights_estimate_the_aggregate_posterior_without_bias() -> None:
    """All batches of three out of five training images, averaged: q(z) at a latent of the first of them."""
    densities = torch.tensor([0.3, 1.7, 0.05, 2.0, 0.9], dtype=torch.float64)  # q(z|x) of each training image
    weights = stratified_log_weights(3, 5, torch.device("cpu")).exp().double()[0]
    batches = list(itertools.permutations(range(1, 5), 2))
    estimates = [(weights * densities[[0, *others]]).sum().item() for others in batches]
    assert sum(estimates) / len(batches) == pytest.approx(densities.mean().item(), rel=1e-6)


@given(st.integers(2, 12), st.integers(0, 1000))
def test_stratified_weights_are_a_mixture(batch: int, more: int) -> None:
    weights = stratified_log_weights(batch, batch + more, torch.device("cpu")).exp()
    torch.testing.assert_close(weights.sum(1), torch.ones(batch))
    torch.testing.assert_close(weights.diagonal(), torch.full((batch,), 1 / (batch + more)))


def test_a_posterior_that_ignores_the_image_has_no_information_and_no_correlation() -> None:
    p = posterior(6)
    same = dataclasses.replace(p, mean=torch.full((6, 5), 0.3), log_variance=torch.full((6, 5), -1.0))
    terms = beta_tc_vae(BetaTCVAEOptions()).objective(same).terms
    assert terms["mi"].item() == pytest.approx(0.0, abs=1e-5)
    assert terms["tc"].item() == pytest.approx(0.0, abs=1e-5)


def test_beta_tc_vae_refuses_single_images_and_an_unknown_number_of_training_images() -> None:
    loss = beta_tc_vae(BetaTCVAEOptions())
    with pytest.raises(genbench.GenbenchError, match="--batch-size 2 or more"):
        loss.objective(posterior(1))
    with pytest.raises(genbench.GenbenchError, match="number of training images, but received 0"):
        loss.objective(dataclasses.replace(posterior(4), train_size=0))


# Maximum mean discrepancy


def test_the_mmd_equals_its_double_sum_over_pairs() -> None:
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(5, 3, generator=rng), torch.randn(7, 3, generator=rng) + 0.5

    def kernel(u: Tensor, v: Tensor) -> float:
        squared = (u.double() - v.double()).square().sum().item()
        return sum(6 * scale / (6 * scale + squared) for scale in SCALES)

    within_a = sum(kernel(u, v) for u, v in itertools.permutations(a, 2)) / (5 * 4)
    within_b = sum(kernel(u, v) for u, v in itertools.permutations(b, 2)) / (7 * 6)
    across = sum(kernel(u, v) for u in a for v in b) / (5 * 7)
    assert mmd(a, b).item() == pytest.approx(within_a + within_b - 2 * across, abs=1e-5)


def test_the_mmd_of_equal_distributions_is_zero_in_expectation_and_of_others_positive() -> None:
    rng = torch.Generator().manual_seed(0)
    draws = torch.randn(400, 2, 16, 4, generator=rng)
    values = torch.stack([mmd(first, second) for first, second in draws])
    assert abs(values.mean().item()) < 3 * values.std().item() / math.sqrt(400)
    assert bool((values < 0).any())  # what makes it unbiased
    shifted = torch.stack([mmd(first, second + 1.0) for first, second in draws])
    assert shifted.mean().item() > 10 * shifted.std().item() / math.sqrt(400)


def test_wae_adds_the_weighted_mmd_of_its_latents() -> None:
    p = posterior()
    loss = wae_mmd(WAEOptions(mmd_weight=7.0))
    assert (loss.deterministic, loss.uses_prior, loss.samples) == (True, True, 1)
    found = loss.objective(p)
    assert p.prior is not None
    expected = found.terms["reconstruction"] + 7 * mmd(p.latents, p.prior)
    assert found.total.item() == pytest.approx(expected.item(), rel=1e-6)


def test_the_reconstruction_of_wae_is_the_squared_error_up_to_a_constant() -> None:
    p = posterior()
    better = dataclasses.replace(p, logits=torch.logit(p.images, 1e-6))
    loss = wae_mmd(WAEOptions())
    gain = loss.objective(p).terms["reconstruction"] - loss.objective(better).terms["reconstruction"]
    assert gain.item() == pytest.approx((p.images - p.logits.sigmoid()).square().sum().item() / 4, rel=1e-4)


def test_info_vae_has_the_elbo_and_the_mmd_as_limits() -> None:
    p = posterior()
    plain = elbo(ElboOptions()).objective(p)
    assert info_vae(InfoVAEOptions(alpha=0.0, mmd_weight=1.0)).objective(p).total.item() == plain.total.item()
    found = info_vae(InfoVAEOptions(alpha=1.0, mmd_weight=5.0)).objective(p)
    assert found.total.item() == pytest.approx((found.terms["reconstruction"] + 5 * found.terms["mmd"]).item())
    with pytest.raises(genbench.GenbenchError, match=r"info-vae\.mmd_weight to 1 - info-vae\.alpha or more"):
        create("info-vae", alpha=0.2, mmd_weight=0.7)


@pytest.mark.parametrize("name", ["wae-mmd", "info-vae"])
def test_losses_that_need_pairs_or_the_prior_raise_without_them(name: str) -> None:
    loss = create(name)
    with pytest.raises(genbench.GenbenchError, match="--batch-size 2 or more"):
        loss.objective(posterior(1))
    with pytest.raises(genbench.GenbenchError, match="uses_prior"):
        loss.objective(dataclasses.replace(posterior(), prior=None))


# All of them


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("elbo", {"beta": 2.5, "annealing": "linear", "free_bits": 0.3}),
        ("beta-vae", {}),
        ("beta-vae", {"capacity": 3.0}),
        ("iwae", {"samples": 1}),
    ],
)
def test_duplicating_a_batch_does_not_change_the_loss(name: str, options: dict[str, Any], likelihood: str) -> None:
    loss = create(name, likelihood=likelihood, **options)
    once, twice = numbers(loss.objective(posterior())), numbers(loss.objective(doubled(posterior())))
    assert once == pytest.approx(twice, rel=1e-5)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("extreme", [-1.0, 1.0])
def test_values_and_gradients_are_finite_at_extreme_logits_and_variances(
    name: str, likelihood: str, extreme: float
) -> None:
    loss = create(name, likelihood=likelihood)
    p = posterior(draws=loss.samples)
    p.images = (p.images * 255).round() / 255
    p.images[0] = 1.0 if extreme < 0 else 0.0  # reproduced as badly as can be
    p.logits = torch.full_like(p.logits, 50 * extreme).requires_grad_()
    p.mean = p.mean.requires_grad_()
    p.log_variance = torch.full_like(p.log_variance, 20 * extreme).requires_grad_()
    p.latents = (p.mean + (p.log_variance / 2).exp() * torch.ones_like(p.mean)).repeat(loss.samples, 1)
    found = loss.objective(p)
    found.total.backward()  # type: ignore[no-untyped-call]
    assert all(math.isfinite(value) for value in numbers(found).values())
    given_gradients = [tensor.grad for tensor in (p.logits, p.mean, p.log_variance) if tensor.grad is not None]
    assert len(given_gradients) >= 2
    assert all(bool(gradient.isfinite().all()) for gradient in given_gradients)


def test_the_cross_entropy_of_a_confidently_wrong_pixel_is_its_logit() -> None:
    black, white = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    assert bernoulli_nll(black, 50 * white).item() == pytest.approx(50.0)
    assert bernoulli_nll(white, 50 * white).item() == pytest.approx(0.0, abs=1e-20)


class ReadsOnTheHost(TorchDispatchMode):
    """Fails at what `.item()`, `float()` and `bool()` of a tensor come down to."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func._schema.name != "aten::_local_scalar_dense"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_no_loss_reads_a_tensor_on_the_host(name: str, likelihood: str) -> None:
    options = {"annealing": "cyclical", "free_bits": 0.1} if name == "elbo" else {}
    loss = create(name, likelihood=likelihood, **options)
    p = posterior(draws=loss.samples)
    p.logits.requires_grad_()
    p.latents.requires_grad_()
    with ReadsOnTheHost():
        loss.objective(p).total.backward()  # type: ignore[no-untyped-call]


BAD = [
    ("elbo", "likelihood", "bernouli", "Did you mean 'bernoulli'"),
    ("elbo", "sigma", 0.0, r"elbo\.sigma is float ≥ 0.0001 ≤ 1000"),
    ("elbo", "beta", -1.0, r"elbo\.beta is float ≥ 0"),
    ("elbo", "annealing_share", 0.0, r"elbo\.annealing_share is float ≥ 0.001 ≤ 1"),
    ("elbo", "annealing_cycles", 0, r"elbo\.annealing_cycles is int ≥ 1"),
    ("elbo", "free_bits", math.nan, r"elbo\.free_bits is float ≥ 0"),
    ("beta-vae", "capacity_share", 1.5, r"beta-vae\.capacity_share is float ≥ 0.001 ≤ 1"),
    ("beta-tc-vae", "estimator", "stratify", "Did you mean 'stratified'"),
    ("iwae", "samples", 0, r"iwae\.samples is int ≥ 1"),
    ("iwae", "smaples", 3, r"Did you mean 'samples'"),
    ("info-vae", "alpha", 1.1, r"info-vae\.alpha is float ≤ 1"),
    ("wae-mmd", "mmd_weight", "ten", r"wae-mmd\.mmd_weight is float ≥ 0"),
]


@pytest.mark.parametrize(("name", "option", "value", "says"), BAD)
def test_the_error_for_an_invalid_option_states_its_range(name: str, option: str, value: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        create(name, **{option: value})
