"""The metrics `elbo`, `rate`, `distortion`, `iwae-k64` and `bits-per-dim`: a model's likelihood of held-out images.

All use the same latents of the same images, so that they can be compared with each other: elbo is minus the sum of rate
and distortion, up to the noise of the latents, and never above iwae-k64. The training weight β does not enter any of
them. Standard errors are those of the mean over images.
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
from genbench.api.training import LikelihoodBound
from genbench.metrics.standard_errors import mean_and_standard_error

ELBO, RATE, DISTORTION, BITS = "elbo", "rate", "distortion", "bits-per-dim"
DRAWS = 64  # latents for each image
IWAE = f"iwae-k{DRAWS}"
IMAGES = 500  # held-out images at most: each is decoded DRAWS times

NO_BOUND = (
    "the model has no likelihood bound: its loss names none, its encoder is deterministic, or its prior is not N(0, I)."
)
_NOT_BITS = {
    "density": "a density over real numbers, not of 256 levels, has no value in bits: use likelihood=logistic.",
    "cross-entropy": "the cross-entropy of grey pixels is not a likelihood: use likelihood=logistic.",
}


def measure_elbo(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the evidence lower bound E_q[log p(x|z) + log p(z) - log q(z|x)] in nats per image.

    It is the mean of the log weights, whose noise vanishes as q approaches the true posterior.
    """
    return _measure(evaluation, ELBO, "higher", elbo)


def measure_rate(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return KL(q(z|x) ‖ p(z)) in nats per image: the cost of the latents.

    Lower is better at equal distortion, since each nat lowers the bound by one; alone it means nothing, and a
    collapsed posterior has a rate of 0 (Alemi et al. 2018, "Fixing a Broken ELBO").
    """
    return _measure(evaluation, RATE, "lower", lambda bound: bound.rate)


def measure_distortion(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return E_q[-log p(x|z)] in nats per image: the information that the latents leave out.

    It may be negative where the likelihood is a density.
    """
    return _measure(evaluation, DISTORTION, "lower", lambda bound: bound.distortion)


def measure_iwae(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the importance-weighted bound log 1/K Σ_k w_k, K = 64, in nats per image (Burda et al. 2016, equation 8).

    In expectation it lies between the ELBO and log p(x), closer to the latter the more latents are drawn.
    """
    return _measure(evaluation, IWAE, "higher", importance_weighted)


def measure_bits_per_dim(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return -ELBO / (D ln 2), D = channels x height x width: raw pixels take 8 bits."""
    likelihood = evaluation.likelihood
    if likelihood is not None and likelihood.kind != "discrete":
        return Unavailable(BITS, _NOT_BITS[likelihood.kind])
    dimensions = torch.as_tensor(evaluation.test.pixels)[0].numel()
    return _measure(evaluation, BITS, "lower", lambda bound: bits_per_dim(elbo(bound), dimensions), bound="ELBO")


def elbo(bound: LikelihoodBound) -> Tensor:
    """Return each image's evidence lower bound, (B,)."""
    return bound.log_weights.mean(0)


def importance_weighted(bound: LikelihoodBound) -> Tensor:
    """Return each image's log 1/K Σ_k w_k, (B,): never below its `elbo`."""
    return torch.logsumexp(bound.log_weights, 0) - math.log(len(bound.log_weights))


def bits_per_dim(log_likelihood: Tensor, dimensions: int) -> Tensor:
    """Convert a log-likelihood in nats per image to bits per dimension; the sign is reversed."""
    return -log_likelihood / (dimensions * math.log(2))


def _measure(
    evaluation: Evaluation,
    name: str,
    direction: Direction,
    per_image: Callable[[LikelihoodBound], Tensor],
    **protocol: str,
) -> Estimate | Unavailable:
    likelihood, bound = evaluation.likelihood, evaluation.bound(DRAWS, IMAGES)
    if likelihood is None or bound is None:
        return Unavailable(name, NO_BOUND)
    values = per_image(bound).double()
    value, standard_error = mean_and_standard_error(values)
    return Estimate(
        metric=name,
        value=value,
        standard_error=standard_error,
        n=len(values),
        direction=direction,
        protocol={
            "likelihood": f"{likelihood.name} ({likelihood.kind})",
            "split": "test",
            "draws": DRAWS,
            "beta": 1,
            **protocol,
        },
    )
