"""The bound of the variational family on the likelihood: closed forms and invariances."""

from __future__ import annotations

import copy
import dataclasses
import math
from typing import Any

import built_models
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal

import genbench
from genbench.api.specs import resolve
from genbench.builtin.families.variational import Variational
from genbench.builtin.losses.variational import ElboOptions, WAEOptions
from genbench.builtin.losses.variational.bounds import elbo
from genbench.builtin.losses.variational.discrepancy import wae_mmd
from genbench.metrics import likelihood as metric

NOISE = 0.5  # s, standard deviation of a pixel
SPEC = genbench.ModelSpec(
    name="linear", family="variational", build=dict, default_loss="elbo", value_range=(0.0, 1.0), output="logits"
)


class Encoder(nn.Module):
    """q(z|x) = N(A x + shift, diagonal), float64."""

    def __init__(self, matrix: Tensor, variance: Tensor, shift: float = 0.0) -> None:
        super().__init__()
        self.matrix, self.variance, self.shift = matrix, variance, shift

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean = images.flatten(1) @ self.matrix.T + self.shift
        return mean, self.variance.log().expand_as(mean)


class Decoder(nn.Module):
    """W z, float64; the loss of `linear_gaussian` takes it as the mean itself."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, latents: Tensor) -> Tensor:
        return (latents @ self.weights.T).view(-1, 1, 2, 3)


def bare_gaussian(images: Tensor, means: Tensor) -> Tensor:
    repeated = images.repeat(len(means) // len(images), 1, 1, 1)
    return -Normal(means, NOISE).log_prob(repeated).sum((1, 2, 3))


def family(networks: dict[str, nn.Module], loss: genbench.VariationalLoss, dim: int = 2, **spec: Any) -> Variational:
    model = dataclasses.replace(SPEC, **spec)
    return Variational(genbench.Setup(networks, loss, model, dim, 0, {"precision": "fp32"}, torch.device("cpu")))


def linear_gaussian(widen: float = 1.0, shift: float = 0.0) -> tuple[Variational, Tensor, Tensor]:
    """Return p(x) = N(0, W Wᵀ + s² I) with orthogonal columns W, images of it, and log p of each.

    The posterior N(M⁻¹ Wᵀ x, s² M⁻¹), M = Wᵀ W + s² I, is diagonal then; its variance is made wider, its mean shifted.
    """
    rng = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(6, 2, generator=rng, dtype=torch.float64)).Q
    weights = basis * torch.tensor([2.0, 0.7], dtype=torch.float64)
    inverse = torch.linalg.inv(weights.T @ weights + NOISE**2 * torch.eye(2, dtype=torch.float64))
    covariance = weights @ weights.T + NOISE**2 * torch.eye(6, dtype=torch.float64)
    marginal = MultivariateNormal(torch.zeros(6, dtype=torch.float64), covariance)
    root = torch.linalg.cholesky(covariance)
    images = torch.randn(40, 6, generator=rng, dtype=torch.float64) @ root.T
    encoder = Encoder(inverse @ weights.T, widen * NOISE**2 * inverse.diagonal(), shift)
    loss = genbench.VariationalLoss(
        lambda posterior: genbench.Objective(posterior.mean.sum(), {}),
        nll=bare_gaussian,
        likelihood=genbench.Likelihood("gaussian", "density"),
    )
    networks: dict[str, nn.Module] = {"encoder": encoder, "decoder": Decoder(weights)}
    return family(networks, loss), images.view(-1, 1, 2, 3), marginal.log_prob(images)


@pytest.mark.parametrize("draws", [1, 2, 7, 64])
def test_with_the_exact_posterior_every_bound_is_the_likelihood_itself(draws: int) -> None:
    linear, images, log_likelihood = linear_gaussian()
    bound = linear.bound(images, draws, torch.Generator().manual_seed(1))
    assert bound.log_weights.shape == (draws, len(images))
    for found in (metric.elbo(bound), metric.importance_weighted(bound)):
        torch.testing.assert_close(found, log_likelihood, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("widen", "shift"), [(2.5, 0.0), (0.4, 0.0), (1.0, 0.3)])
def test_with_another_posterior_more_latents_tighten_the_bound(widen: float, shift: float) -> None:
    linear, images, log_likelihood = linear_gaussian(widen, shift)
    bound = linear.bound(images, 8000, torch.Generator().manual_seed(1))

    def with_latents(k: int) -> float:
        groups = bound.log_weights.view(-1, k, len(images)).transpose(0, 1)  # k × groups × images
        return float((torch.logsumexp(groups, 0) - math.log(k)).mean())

    exact = float(log_likelihood.mean())
    assert float(metric.elbo(bound).mean()) < with_latents(2) < with_latents(8) < exact
    assert with_latents(8000) == pytest.approx(exact, abs=0.01)
    # ELBO = log p(x) - KL(q ‖ posterior), and that KL is known.
    encoder = linear.encoder
    assert isinstance(encoder, Encoder)
    moved = shift**2 * widen / encoder.variance
    gap = 0.5 * (widen - 1 - math.log(widen) + moved).sum()
    assert exact - float(metric.elbo(bound).mean()) == pytest.approx(float(gap), abs=0.02)


def test_rate_and_distortion_sum_to_the_bound() -> None:
    linear, images, _ = linear_gaussian(2.5, 0.3)
    bound = linear.bound(images, 20_000, torch.Generator().manual_seed(1))
    torch.testing.assert_close(-(bound.rate + bound.distortion), metric.elbo(bound), atol=0.1, rtol=0)
    mean, log_variance = linear.encoder(images)
    divergence = torch.distributions.kl_divergence(
        Normal(mean, (log_variance / 2).exp()), Normal(torch.zeros(()), torch.ones(()))
    )
    torch.testing.assert_close(bound.rate, divergence.sum(1))
    assert torch.equal(bound.mean, mean)


def built(name: str, loss: genbench.VariationalLoss | None = None) -> Variational:
    """Return a built-in model for 1×4×4 images with weights that are not small."""
    torch.manual_seed(0)
    networks = built_models.build(name, (1, 4, 4), **built_models.tiny(name))
    for network in networks.values():
        network.eval()
        for parameter in network.parameters():
            parameter.requires_grad_(False).mul_(2)
    made = built_models.family(name, networks)
    assert isinstance(made, Variational)
    if loss is None:
        return made
    networks |= {} if loss.module is None else {"loss": loss.module}
    return Variational(dataclasses.replace(made.setup, loss=loss, networks=networks))


def ask(model: Variational, images: Tensor, draws: int = 3, labels: Tensor | None = None, seed: int = 5) -> Any:
    with torch.inference_mode():
        return model.bound(images, draws, torch.Generator().manual_seed(seed), labels)


PICTURES = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(9))


def test_log_weights_are_those_of_the_distributions_one_latent_at_a_time() -> None:
    model = built("vae", elbo(ElboOptions(likelihood="gaussian", sigma=0.3, beta=9.0)))
    bound = ask(model, PICTURES)
    rng = torch.Generator().manual_seed(5)
    for number, image in enumerate(PICTURES):
        mean, log_variance = model.encoder(image[None])
        posterior = Normal(mean, (log_variance / 2).exp())
        noise = torch.randn(3, mean.shape[1], generator=rng)
        for draw in range(3):
            z = posterior.loc + posterior.scale * noise[draw]
            log_p = Normal(model.decoder(z).sigmoid(), 0.3).log_prob(image).sum()
            weight = log_p + Normal(0.0, 1.0).log_prob(z).sum() - posterior.log_prob(z).sum()
            assert float(bound.log_weights[draw, number]) == pytest.approx(float(weight), rel=1e-5, abs=1e-3)


def test_the_bound_of_an_image_does_not_depend_on_the_rest_of_the_batch() -> None:
    model = built("vae")
    rng = torch.Generator().manual_seed(5)
    parts = [model.bound(PICTURES[:2], 3, rng), model.bound(PICTURES[2:], 3, rng)]
    whole = ask(model, PICTURES)
    torch.testing.assert_close(torch.cat([part.log_weights for part in parts], 1), whole.log_weights)
    for name in ("distortion", "rate", "mean"):
        torch.testing.assert_close(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name))


def test_the_bound_does_not_depend_on_the_kl_weight_or_the_objective() -> None:
    losses = [spec for spec in built_models.LOSSES.values() if spec.family == "variational"]
    bounds = []
    for spec in losses:
        options = {option.name: option.default for option in spec.option_schema}
        options |= {"likelihood": "gaussian", "sigma": 0.3}
        made = built("vae", resolve(spec.create)(spec.make_options(options)))
        if not made.loss.deterministic:
            bounds.append(ask(made, PICTURES).log_weights)
    assert len(bounds) == 5
    assert all(torch.equal(bounds[0], found) for found in bounds)


@pytest.mark.parametrize(
    ("chosen", "name", "kind"),
    [
        ("bernoulli", "bernoulli", "cross-entropy"),
        ("gaussian", "gaussian", "density"),
        ("gaussian-learned", "gaussian", "density"),
        ("logistic", "logistic", "discrete"),
    ],
)
def test_each_likelihood_states_its_name_and_kind(chosen: Any, name: str, kind: str) -> None:
    model = built("vae", elbo(ElboOptions(likelihood=chosen)))
    assert isinstance(model, genbench.LikelihoodFamily)
    assert model.likelihood == genbench.Likelihood(name, kind)  # type: ignore[arg-type]
    assert bool(ask(model, PICTURES).log_weights.isfinite().all())


def test_there_is_no_bound_without_a_latent_density_or_a_likelihood() -> None:
    stranger = genbench.VariationalLoss(lambda posterior: genbench.Objective(posterior.mean.sum(), {}))
    uniform = built("vae")
    uniform.setup = dataclasses.replace(uniform.setup, model=dataclasses.replace(SPEC, prior="uniform"))
    for model in (built("vae", wae_mmd(WAEOptions())), built("vae", stranger), uniform):
        assert model.likelihood is None
        with pytest.raises(ValueError, match="has no bound on the likelihood"):
            ask(model, PICTURES)


def test_a_conditional_model_receives_the_class_of_each_draw() -> None:
    model = built("cvae")
    labels = torch.tensor([0, 1, 2, 0, 1])
    together = ask(model, PICTURES, labels=labels)
    other = ask(model, PICTURES, labels=labels.flip(0))
    assert not torch.allclose(together.distortion[0], other.distortion[0])
    rng = torch.Generator().manual_seed(5)
    alone = [model.bound(PICTURES[i : i + 1], 3, rng, labels[i : i + 1]).log_weights for i in range(5)]
    torch.testing.assert_close(torch.cat(alone, 1), together.log_weights)


@pytest.mark.parametrize("chosen", ["gaussian-learned", "logistic"])
def test_a_trained_scale_is_that_of_the_weights_in_use(chosen: Any) -> None:
    def scaled(sigma: float) -> genbench.VariationalLoss:
        return elbo(ElboOptions(likelihood=chosen, sigma=sigma))

    model, other = built("vae", scaled(1.0)), built("vae", scaled(0.2))
    before = ask(model, PICTURES).log_weights
    averaged = {**model.setup.networks, "loss": copy.deepcopy(other.setup.networks["loss"])}
    sampled = Variational(dataclasses.replace(model.setup, networks=averaged))  # the loss still holds the raw scale
    assert torch.equal(ask(sampled, PICTURES).log_weights, ask(other, PICTURES).log_weights)
    assert torch.equal(ask(model, PICTURES).log_weights, before)
    assert not torch.allclose(ask(sampled, PICTURES).log_weights, before)
