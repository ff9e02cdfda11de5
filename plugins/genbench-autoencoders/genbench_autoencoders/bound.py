"""Parts of losses that are bounds with a learned prior."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import genbench
from genbench_autoencoders.bound_options import BoundOptions


@dataclass(frozen=True)
class BoundLoss:
    """What the families `vamp` and `ladder` receive."""

    likelihood: genbench.ImageLikelihood
    options: BoundOptions
    module: nn.Module | None  # the scale of the likelihood, if it is trained


def bound(options: BoundOptions) -> BoundLoss:
    """Return the loss with these options."""
    likelihood = genbench.make_likelihood(options)
    return BoundLoss(likelihood, options, likelihood.scale)


def log_normal(values: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """log N(z; μ, σ²) of each value, in the broadcast shape of the arguments."""
    return -0.5 * ((values - mean).square() / variance + variance.log() + math.log(2 * math.pi))


def kl_between_normals(mean: Tensor, variance: Tensor, prior_mean: Tensor, prior_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(m, s²)) = ½(log s²/σ² + (σ² + (μ - m)²)/s² - 1) of each latent."""
    ratio = variance / prior_variance
    return 0.5 * (ratio - 1 - ratio.log() + (mean - prior_mean).square() / prior_variance)


def kl_weight(options: BoundOptions, progress: Tensor | None, device: torch.device) -> Tensor:
    """Return the weight of the KL term: a linear rise from 0 to β (Sønderby et al. 2016, section 2.3)."""
    beta = torch.tensor(options.beta, device=device)
    if options.warm_up == 0 or progress is None:
        return beta
    return beta * (progress / options.warm_up).clamp(max=1.0)
