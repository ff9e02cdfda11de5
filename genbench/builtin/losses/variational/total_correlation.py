"""β-TC-VAE: the KL term split into mutual information, total correlation and dimension-wise KL.

Chen et al. 2018, "Isolating Sources of Disentanglement in Variational Autoencoders". The three parts add up to
E log q(z|x) - log p(z) for each latent drawn, whatever the estimator of q(z), which cancels between them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

import genbench
from genbench.builtin.losses.variational import BetaTCVAEOptions
from genbench.builtin.losses.variational.divergences import kl_to_standard_normal, log_normal, log_standard_normal
from genbench.builtin.losses.variational.likelihoods import make_likelihood


def weighted_log_weights(batch: int, train_size: int, device: torch.device) -> Tensor:
    """log 1/(N·B) everywhere, (B, B): minibatch-weighted sampling of q(z), a lower bound (appendix C.1)."""
    return torch.full((batch, batch), -math.log(train_size * batch), device=device)


def stratified_log_weights(batch: int, train_size: int, device: torch.device) -> Tensor:
    """log of the weights of q(z|x_j) in q(z) at the latent of image i, (B, B): unbiased (appendix C.2).

    With M = B - 1 other images: 1/N for the image itself, (N-M)/(N·M) for one other, 1/M for the rest; each row sums
    to 1.
    """
    others = batch - 1
    weights = torch.full((batch, batch), -math.log(others), device=device)
    one = math.log((train_size - others) / (train_size * others))
    weights.diagonal(1).fill_(one)
    weights[-1, 0].fill_(one)
    weights.diagonal().fill_(-math.log(train_size))
    return weights


def decompose(
    latents: Tensor, mean: Tensor, log_variance: Tensor, log_weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return mutual information, total correlation and dimension-wise KL (nats, means over the batch; equation 2).

    Args:
        latents: (B, latent_dim), one draw from each q(z|x).
        mean: (B, latent_dim).
        log_variance: (B, latent_dim).
        log_weights: (B, B), of q(z|x_j) in the estimate of q(z_i).
    """
    pairs = log_normal(latents[:, None], mean[None], log_variance[None])  # log q(z_i | x_j) by latent: B × B × dim
    conditional = log_normal(latents, mean, log_variance).sum(1)
    joint = torch.logsumexp(pairs.sum(2) + log_weights, 1)
    marginals = torch.logsumexp(pairs + log_weights[:, :, None], 1).sum(1)
    prior = log_standard_normal(latents).sum(1)
    return (conditional - joint).mean(), (joint - marginals).mean(), (marginals - prior).mean()


def beta_tc_vae(options: BetaTCVAEOptions) -> genbench.VariationalLoss:
    """Return reconstruction + α·MI + β·TC + γ·dimension-wise KL (Chen et al. 2018, equation 4).

    Its objective raises GenbenchError where a batch has one image, or where the number of training images is unknown.
    """
    likelihood = make_likelihood(options)
    make_weights = stratified_log_weights if options.estimator == "stratified" else weighted_log_weights

    def objective(posterior: genbench.Posterior) -> genbench.Objective:
        batch = len(posterior.mean)
        _require_sizes(batch, posterior.train_size)
        log_weights = make_weights(batch, posterior.train_size, posterior.mean.device)
        mi, tc, dwkl = decompose(posterior.latents, posterior.mean, posterior.log_variance, log_weights)
        reconstruction = likelihood.mean(posterior.images, posterior.logits)
        kl = kl_to_standard_normal(posterior.mean, posterior.log_variance)
        terms = {"reconstruction": reconstruction, "kl": kl, "mi": mi, "tc": tc, "dwkl": dwkl, **likelihood.terms()}
        return genbench.Objective(reconstruction + options.alpha * mi + options.beta * tc + options.gamma * dwkl, terms)

    return likelihood.loss(objective)


def _require_sizes(batch: int, train_size: int) -> None:
    if batch < 2:
        raise genbench.GenbenchError(
            "beta-tc-vae estimates q(z) from the other images of a batch, but this batch has a single image.",
            "Use --batch-size 2 or more.",
            code="GB509",
        )
    if train_size < batch:
        raise genbench.GenbenchError(
            f"beta-tc-vae needs the number of training images, but received {train_size} with a batch of {batch}.",
            "The family must fill Posterior.train_size.",
            code="GB509",
        )
