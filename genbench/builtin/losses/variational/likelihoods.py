"""Likelihoods of images under decoded means: the reconstruction term of every variational loss.

Each function returns the negative log-likelihood in nats of every decoded image, summed over its pixels, (N,), given
images (B, channels, height, width) in [0, 1] and logits (N, channels, height, width) of the decoded means. With N = K·B
there are K decoded images per image; the first B are one for each image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

import genbench
from genbench.builtin.losses.variational import LikelihoodOptions

LEVELS = 256  # of a stored pixel
LEAST_LOG_SCALE = -10.0  # e^-10 is a hundredth of a grey level: reached only where images are reproduced exactly
SCALE_SPEED = 10.0  # ratio of the speed of a learned log scale to that of a weight under Adam


def bernoulli_nll(images: Tensor, logits: Tensor) -> Tensor:
    """Σ -x log p - (1-x) log(1-p), p = sigmoid(logits).

    A likelihood only for binary images; for grey ones in [0, 1] it is a cross-entropy whose minimum is not 0.
    """
    pixels = binary_cross_entropy_with_logits(logits, _per_draw(images, logits), reduction="none")
    return _sum_pixels(pixels)


def bernoulli_mean_nll(images: Tensor, logits: Tensor) -> Tensor:
    """Return the mean of `bernoulli_nll` over decoded images, a scalar, in fewer passes over the pixels."""
    total = binary_cross_entropy_with_logits(logits, _per_draw(images, logits), reduction="sum")
    return total / len(logits)


def gaussian_nll(images: Tensor, logits: Tensor, log_sigma: float | Tensor = 0.0) -> Tensor:
    """Σ (x - p)² / 2σ² + log σ√(2π), p = sigmoid(logits): squared error as a likelihood."""
    precision = math.exp(-2 * log_sigma) if isinstance(log_sigma, float) else (-2 * log_sigma).exp()
    squared = _sum_pixels((_per_draw(images, logits) - logits.sigmoid()).square())
    return 0.5 * precision * squared + images[0].numel() * (log_sigma + 0.5 * math.log(2 * math.pi))


def discretised_logistic_nll(images: Tensor, logits: Tensor, log_scale: Tensor) -> Tensor:
    """-Σ log P(x): the logistic distribution around p = sigmoid(logits), integrated over each of 256 levels.

    P(x) = F(a) - F(b), F = sigmoid, a and b = (x ± 1/510 - p) / scale; the lowest level extends to -∞ and the
    highest to ∞ (Salimans et al. 2017, PixelCNN++, equation 2). Written as F(a) F(-b) (1 - exp(b - a)), which is
    exact and loses no digits, so that nothing has to be clipped.
    """
    images = _per_draw(images, logits)
    half_level = 0.5 / (LEVELS - 1)
    precision = (-log_scale).exp()
    centred = images - logits.sigmoid()
    below_top, above_bottom = images < 1 - half_level, images > half_level
    nll = softplus((-half_level - centred) * precision) * below_top
    nll = nll + softplus((centred - half_level) * precision) * above_bottom
    log_width = torch.log(-torch.expm1(-2 * half_level * precision))
    return _sum_pixels(nll - log_width * (below_top & above_bottom))


class LearnedScale(nn.Module):
    """A scale, σ or s, shared by all pixels and trained with the networks.

    log scale = m + softplus(SCALE_SPEED·raw - m) with m = LEAST_LOG_SCALE, which is SCALE_SPEED·raw almost everywhere.
    Adam moves each parameter by about the learning rate, and log σ has to move ten times as far as a weight.
    """

    def __init__(self, start: float) -> None:
        super().__init__()
        above_least = math.log(math.expm1(math.log(start) - LEAST_LOG_SCALE))
        self.raw = nn.Parameter(torch.tensor((above_least + LEAST_LOG_SCALE) / SCALE_SPEED))

    def forward(self) -> Tensor:
        """Return the logarithm of the scale, a scalar."""
        return LEAST_LOG_SCALE + softplus(SCALE_SPEED * self.raw - LEAST_LOG_SCALE)


@dataclass(frozen=True)
class ImageLikelihood:
    """A likelihood of images given logits of decoded means, with its settings filled in."""

    nll: Callable[[Tensor, Tensor], Tensor]  # (images, logits) -> (N,)
    meaning: genbench.Likelihood
    scale: LearnedScale | None = None  # trained with the networks
    quick_mean: Callable[[Tensor, Tensor], Tensor] | None = None

    def mean(self, images: Tensor, logits: Tensor) -> Tensor:
        """Return the mean of `nll` over decoded images, a scalar."""
        return self.quick_mean(images, logits) if self.quick_mean else self.nll(images, logits).mean()

    def terms(self) -> Mapping[str, Tensor]:
        """Return the learned scale, for the curves."""
        return {} if self.scale is None else {"scale": self.scale().detach().exp()}

    def loss(
        self,
        objective: Callable[[genbench.Posterior], genbench.Objective],
        *,
        samples: int = 1,
        deterministic: bool = False,
        uses_prior: bool = False,
    ) -> genbench.VariationalLoss:
        """Return a loss with this likelihood, under which images can be bounded whatever the objective."""
        return genbench.VariationalLoss(
            objective,
            samples=samples,
            deterministic=deterministic,
            uses_prior=uses_prior,
            module=self.scale,
            nll=self.nll,
            likelihood=self.meaning,
        )


def make_likelihood(options: LikelihoodOptions) -> ImageLikelihood:
    """Return the likelihood that the options name.

    A Gaussian has the same name whether its scale is trained or not: the densities are comparable.
    """
    if options.likelihood == "bernoulli":
        meaning = genbench.Likelihood("bernoulli", "cross-entropy")
        return ImageLikelihood(bernoulli_nll, meaning, quick_mean=bernoulli_mean_nll)
    gaussian = genbench.Likelihood("gaussian", "density")
    if options.likelihood == "gaussian":
        log_sigma = math.log(options.sigma)
        return ImageLikelihood(lambda images, logits: gaussian_nll(images, logits, log_sigma), gaussian)
    scale = LearnedScale(options.sigma)
    if options.likelihood == "gaussian-learned":
        return ImageLikelihood(lambda images, logits: gaussian_nll(images, logits, scale()), gaussian, scale)
    logistic = genbench.Likelihood("logistic", "discrete")
    return ImageLikelihood(lambda images, logits: discretised_logistic_nll(images, logits, scale()), logistic, scale)


def _per_draw(images: Tensor, logits: Tensor) -> Tensor:
    draws = len(logits) // len(images)
    return images if draws == 1 else images.repeat(draws, *[1] * (images.ndim - 1))


def _sum_pixels(values: Tensor) -> Tensor:
    return values.sum(tuple(range(1, values.ndim)))
