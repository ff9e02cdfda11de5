"""Bounds on the log-likelihood: the ELBO with its weights and schedules, and the importance-weighted bound.

Sums over pixels or latents, means over the batch (nats per image); curves show all terms unweighted.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

import genbench
from genbench.builtin.losses.variational import BetaVAEOptions, ElboOptions, IWAEOptions
from genbench.builtin.losses.variational.divergences import (
    kl_per_latent,
    kl_to_standard_normal,
    log_normal,
    log_standard_normal,
)
from genbench.builtin.losses.variational.likelihoods import make_likelihood
from genbench.builtin.losses.variational.schedules import cyclical, linear


def elbo(options: ElboOptions) -> genbench.VariationalLoss:
    """Return the negative evidence lower bound with its KL term weighted by β.

    With annealing, β rises from 0 (linear: Bowman et al. 2016; cyclical: Fu et al. 2019). With free bits λ, the KL term
    is Σ_j max(λ, KL_j), KL_j being the mean over the batch of latent j's (Kingma et al. 2016, arXiv:1606.04934).
    """
    likelihood = make_likelihood(options)

    def objective(posterior: genbench.Posterior) -> genbench.Objective:
        reconstruction = likelihood.mean(posterior.images, posterior.logits)
        if options.free_bits:
            per_latent = kl_per_latent(posterior.mean, posterior.log_variance)
            kl, charged = per_latent.sum(), per_latent.clamp(min=options.free_bits).sum()
        else:
            kl = charged = kl_to_standard_normal(posterior.mean, posterior.log_variance)
        terms = {"reconstruction": reconstruction, "kl": kl, **likelihood.terms()}
        rise = _rise(options, posterior.progress)
        if rise is not None:
            terms["beta"] = options.beta * rise
            return genbench.Objective(reconstruction + terms["beta"] * charged, terms)
        return genbench.Objective(torch.add(reconstruction, charged, alpha=options.beta), terms)

    return likelihood.loss(objective)


def beta_vae(options: BetaVAEOptions) -> genbench.VariationalLoss:
    """Return the β-VAE: β·KL (Higgins et al. 2017), or γ|KL - C(t)| with a capacity C (Burgess et al. 2018).

    Without a capacity it is `elbo` with another default. Raises GenbenchError where a capacity is combined with a β,
    annealing or free bits, which control the KL term as well.
    """
    if not options.capacity:
        return elbo(options)
    if options.annealing != "none" or options.free_bits:
        raise genbench.GenbenchError(
            f"beta-vae.capacity = {options.capacity:g} cannot be combined with beta-vae.annealing or "
            "beta-vae.free_bits.",
            "Set capacity to 0, or annealing to none and free_bits to 0.",
        )
    if options.beta != BetaVAEOptions.beta:
        raise genbench.GenbenchError(
            f"beta-vae.beta = {options.beta:g} has no effect with beta-vae.capacity = {options.capacity:g}.",
            "Set the weight of the distance to the capacity with beta-vae.capacity_weight, or set capacity to 0.",
        )
    likelihood = make_likelihood(options)

    def objective(posterior: genbench.Posterior) -> genbench.Objective:
        reconstruction = likelihood.mean(posterior.images, posterior.logits)
        kl = kl_to_standard_normal(posterior.mean, posterior.log_variance)
        rise = linear(posterior.progress, options.capacity_share)
        capacity = torch.full_like(kl, options.capacity) if rise is None else options.capacity * rise
        terms = {"reconstruction": reconstruction, "kl": kl, "capacity": capacity, **likelihood.terms()}
        return genbench.Objective(reconstruction + options.capacity_weight * (kl - capacity).abs(), terms)

    return likelihood.loss(objective)


def importance_weighted_bound(log_weights: Tensor) -> Tensor:
    """log 1/K Σ_k w_k of log weights (K, B), mean over the batch; its expectation does not decrease with K."""
    return (torch.logsumexp(log_weights, 0) - math.log(len(log_weights))).mean()


def iwae(options: IWAEOptions) -> genbench.VariationalLoss:
    """Return the negative importance-weighted bound, log w = log p(x|z) + log p(z) - log q(z|x) (Burda et al. 2016).

    With K = 1 it is the ELBO with its KL term estimated from the latent drawn. The curve `kl` is the closed form, and
    `reconstruction` the mean over all draws, so that both are comparable with those of `elbo`.
    """
    likelihood = make_likelihood(options)

    def objective(posterior: genbench.Posterior) -> genbench.Objective:
        latents = posterior.latents.view(-1, *posterior.mean.shape)  # K × B × latent_dim
        nll = likelihood.nll(posterior.images, posterior.logits)
        log_ratio = log_standard_normal(latents) - log_normal(latents, posterior.mean, posterior.log_variance)
        bound = importance_weighted_bound(log_ratio.sum(2) - nll.view(latents.shape[:2]))
        kl = kl_to_standard_normal(posterior.mean, posterior.log_variance)
        return genbench.Objective(-bound, {"reconstruction": nll.mean(), "kl": kl, **likelihood.terms()})

    return likelihood.loss(objective, samples=options.samples)


def _rise(options: ElboOptions, progress: Tensor | None) -> Tensor | None:
    if options.annealing == "linear":
        return linear(progress, options.annealing_share)
    if options.annealing == "cyclical":
        return cyclical(progress, options.annealing_share, options.annealing_cycles)
    return None
