"""The metrics `elbo`, `rate`, `distortion`, `iwae-k64` and `bits-per-dim`: a model's likelihood of held-out images.

All use the same latents of the same images, so that they can be compared with each other: elbo is minus the sum of rate
and distortion, up to the noise of the latents, and never above iwae-k64. The training weight β does not enter any of
them. Standard errors are those of the mean over images.

The likelihoods of 256 levels compare with each other, whether exact or bounded and whatever their form. How they divide
into rate and distortion depends on the form, and a model without latents has neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from genbench.api.evaluation import (
    Direction,
    Estimate,
    Evaluation,
    Unavailable,
)
from genbench.api.training import Likelihood, LikelihoodBound, LogLikelihood
from genbench.metrics.standard_errors import mean_and_standard_error

ELBO, RATE, DISTORTION, BITS = "elbo", "rate", "distortion", "bits-per-dim"
DRAWS = 64  # latents for each image
IWAE = f"iwae-k{DRAWS}"
IMAGES = 500  # held-out images at most: each is decoded DRAWS times

NO_BOUND = (
    "the model has no likelihood bound: its loss names none, its encoder is deterministic, or its prior is not N(0, I)."
)
NO_LATENTS = "the model computes its likelihood without a posterior over latents, so there is nothing to measure."
NO_MEANS = "the latents of the model are noisy images, so they do not describe what is in an image."
NO_IMPORTANCE = "the model estimates its bound without importance weights, as diffusion models do: see elbo."
EXACT, DEQUANTISED, BOUND = (
    "exact: the log-likelihood itself, not a bound",
    "the log-likelihood of dequantised images, averaged over the noise: a lower bound on that of the levels",
    "a lower bound on the log-likelihood",
)
IMPOSSIBLE = (
    "the model says that the probability of an image of 256 levels is above 1: its mean log P is {:.4g}. Its family or "
    "loss is at fault; `genbench plugin test` finds where."
)
_NOT_BITS = {
    "density": "a density over real numbers, not of 256 levels, has no value in bits: use likelihood=logistic.",
    "cross-entropy": "the cross-entropy of grey pixels is not a likelihood: use likelihood=logistic.",
}


def measure_elbo(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the evidence lower bound E_q[log p(x|z) + log p(z) - log q(z|x)] in nats per image.

    It is the mean of the log weights, whose noise vanishes as q approaches the true posterior. Of a model that computes
    its likelihood it is log p(x), or its mean over the noise of dequantised images.
    """
    return _measure(evaluation, ELBO, "higher", elbo)


def measure_rate(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return KL(q(z|x) ‖ p(z)) in nats per image: the cost of the latents.

    Lower is better at equal distortion, since each nat lowers the bound by one; alone it means nothing, and a
    collapsed posterior has a rate of 0 (Alemi et al. 2018, "Fixing a Broken ELBO").
    """
    return _measure_part(evaluation, RATE, lambda bound: bound.rate)


def measure_distortion(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return E_q[-log p(x|z)] in nats per image: the information that the latents leave out.

    It may be negative where the likelihood is a density.
    """
    return _measure_part(evaluation, DISTORTION, lambda bound: bound.distortion)


def measure_iwae(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the importance-weighted bound log 1/K Σ_k w_k, K = 64, in nats per image (Burda et al. 2016, equation 8).

    In expectation it lies between the ELBO and log p(x), closer to the latter the more latents are drawn.
    """
    found = evaluation.log_likelihood(DRAWS, IMAGES)
    if found is not None and not found.importance:
        return Unavailable(IWAE, NO_IMPORTANCE)
    return _measure(evaluation, IWAE, "higher", importance_weighted)


def measure_bits_per_dim(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return -ELBO / (D ln 2), D = channels x height x width: raw pixels take 8 bits."""
    found = None if evaluation.likelihood is not None else evaluation.log_likelihood(DRAWS, IMAGES)
    likelihood = evaluation.likelihood if found is None else found.likelihood
    if likelihood is not None and not likelihood.of_levels:
        return Unavailable(BITS, _NOT_BITS[likelihood.kind])
    dimensions = torch.as_tensor(evaluation.test.pixels)[0].numel()
    return _measure(evaluation, BITS, "lower", lambda found: bits_per_dim(elbo(found), dimensions))


def elbo(found: LogLikelihood | LikelihoodBound) -> Tensor:
    """Return each image's evidence lower bound, (B,)."""
    return found.log_weights.mean(0)


def importance_weighted(found: LogLikelihood | LikelihoodBound) -> Tensor:
    """Return each image's log 1/K Σ_k w_k, (B,): never below its `elbo`."""
    return torch.logsumexp(found.log_weights, 0) - math.log(len(found.log_weights))


def bits_per_dim(log_likelihood: Tensor, dimensions: int) -> Tensor:
    """Convert a log-likelihood in nats per image to bits per dimension; the sign is reversed."""
    return -log_likelihood / (dimensions * math.log(2))


def no_bound(evaluation: Evaluation) -> str:
    """Return why a model has no bound."""
    return NO_BOUND if evaluation.log_likelihood(DRAWS, IMAGES) is None else NO_LATENTS


def _measure(
    evaluation: Evaluation, name: str, direction: Direction, per_image: Callable[[LogLikelihood], Tensor]
) -> Estimate | Unavailable:
    """Measure a log-likelihood or a bound on it."""
    found = evaluation.log_likelihood(DRAWS, IMAGES)
    if found is None:
        return Unavailable(name, NO_BOUND)
    meaning, highest = found.likelihood, float(elbo(found).mean())
    if meaning.of_levels and highest > 0:
        return Unavailable(name, IMPOSSIBLE.format(highest))
    kind = EXACT if found.exact else DEQUANTISED if meaning.kind == "dequantised" else BOUND
    protocol: dict[str, str | int | float | bool] = {"likelihood": "256 levels", "split": "test"}
    if not meaning.of_levels:
        protocol = _own_protocol(meaning)
    return _estimate(name, direction, per_image(found), protocol, f"{kind} ({meaning.name})")


def _measure_part(
    evaluation: Evaluation, name: str, per_image: Callable[[LikelihoodBound], Tensor]
) -> Estimate | Unavailable:
    """Measure one of the two parts of the bound."""
    bound, likelihood = evaluation.bound(DRAWS, IMAGES), evaluation.likelihood
    if bound is None or likelihood is None:
        return Unavailable(name, no_bound(evaluation))
    return _estimate(name, "lower", per_image(bound), _own_protocol(likelihood))


def _own_protocol(likelihood: Likelihood) -> dict[str, str | int | float | bool]:
    """Return the protocol of a number that compares only with those of the same form of likelihood."""
    return {"likelihood": f"{likelihood.name} ({likelihood.kind})", "split": "test", "draws": DRAWS, "beta": 1}


def _estimate(
    name: str, direction: Direction, values: Tensor, protocol: dict[str, str | int | float | bool], remark: str = ""
) -> Estimate:
    value, standard_error = mean_and_standard_error(values.double())
    return Estimate(
        metric=name,
        value=value,
        standard_error=standard_error,
        n=len(values),
        direction=direction,
        protocol=protocol,
        remark=remark,
    )
