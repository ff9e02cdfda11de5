"""The loss `rae`: the reconstruction, and terms that replace a VAE's noise (Ghosh et al. 2020, section 3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import genbench
from genbench_autoencoders.rae import RAELossOptions


@dataclass(frozen=True)
class RAELoss:
    """What the family receives."""

    likelihood: genbench.ImageLikelihood
    options: RAELossOptions
    module: nn.Module | None  # the scale of the likelihood, if it is trained


def rae(options: RAELossOptions) -> RAELoss:
    """Return the loss with these options."""
    likelihood = genbench.make_likelihood(options)
    return RAELoss(likelihood, options, likelihood.scale)


def code_term(codes: Tensor) -> Tensor:
    """½|z|² of codes (B, d), mean over the batch: what remains of the KL of a posterior of constant variance."""
    return 0.5 * codes.square().sum() / len(codes)


def weight_term(parameters: Iterable[Tensor]) -> Tensor:
    """Σ θ² of the decoder: Tikhonov regularisation (equation 9)."""
    return torch.stack([parameter.square().sum() for parameter in parameters]).sum()


def jacobian_term(decoded: Tensor, codes: Tensor, noise: Tensor) -> Tensor:
    """½|∂D(z)/∂z|², the squared Frobenius norm of each image's Jacobian, mean over the batch (equation 10).

    Its unbiased estimate from noise n ~ N(0, I) in the shape of the decoded images is ½|nᵀ ∂D/∂z|².
    """
    (products,) = torch.autograd.grad((decoded * noise).sum(), codes, create_graph=True)
    return 0.5 * products.square().sum() / len(codes)
