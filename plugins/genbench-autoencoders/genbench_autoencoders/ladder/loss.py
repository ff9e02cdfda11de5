"""The loss `ladder-elbo`, and the posterior of one level."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

import genbench
from genbench_autoencoders.ladder import LadderLossOptions


@dataclass(frozen=True)
class LadderLoss:
    """What the family receives."""

    likelihood: genbench.ImageLikelihood
    options: LadderLossOptions
    module: nn.Module | None  # the scale of the likelihood, if it is trained


def ladder_elbo(options: LadderLossOptions) -> LadderLoss:
    """Return the loss with these options."""
    likelihood = genbench.make_likelihood(options)
    return LadderLoss(likelihood, options, likelihood.scale)


def combine(mean: Tensor, variance: Tensor, prior_mean: Tensor, prior_variance: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of the normalised product of two Gaussians: precisions add up (equations 17 to 19)."""
    precision, prior_precision = 1 / variance, 1 / prior_variance
    combined = 1 / (precision + prior_precision)
    return combined * (mean * precision + prior_mean * prior_precision), combined


def charged_kl(per_level: Tensor, free_bits: float) -> Tensor:
    """Σ_i max(λ, KL_i) of the mean KL of each level, (levels,) -> scalar."""
    return per_level.clamp(min=free_bits).sum() if free_bits else torch.sum(per_level)
