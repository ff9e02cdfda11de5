"""Variational losses: pure functions; sums over pixels or latents, means over the batch (nats per image)."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

import genbench
from genbench.builtin.losses.variational import ElboOptions


def bernoulli_nll(images: Tensor, logits: Tensor) -> Tensor:
    """Σ -x log p - (1-x) log(1-p), p = sigmoid(logits).

    A likelihood only for binary images; of grey ones in [0, 1] it is a cross-entropy whose least value is not 0.
    """
    return binary_cross_entropy_with_logits(logits, images, reduction="sum") / len(images)


def gaussian_nll(images: Tensor, logits: Tensor, sigma: float = 1.0) -> Tensor:
    """Σ (x - p)² / 2σ² + log σ√(2π), p = sigmoid(logits): squared error as a likelihood of fixed variance."""
    squared = (images - logits.sigmoid()).square().sum() / (2 * sigma**2) / len(images)
    return squared + images[0].numel() * math.log(sigma * math.sqrt(2 * math.pi))


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) = Σ ½(μ² + σ² - 1 - log σ²) (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / len(mean)


def elbo(options: ElboOptions) -> genbench.VariationalLoss:
    """Return the negative evidence lower bound with its KL term weighted by β."""

    def objective(posterior: genbench.Posterior) -> genbench.Objective:
        if options.likelihood == "gaussian":
            reconstruction = gaussian_nll(posterior.images, posterior.logits, options.sigma)
        else:
            reconstruction = bernoulli_nll(posterior.images, posterior.logits)
        kl = kl_to_standard_normal(posterior.mean, posterior.log_variance)
        weighted = kl if options.beta == 1 else options.beta * kl
        return genbench.Objective(reconstruction + weighted, {"reconstruction": reconstruction, "kl": kl})

    return genbench.VariationalLoss(objective)
