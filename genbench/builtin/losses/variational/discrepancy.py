"""Losses that match the latents of a batch to the prior by the maximum mean discrepancy: WAE-MMD and InfoVAE."""

from __future__ import annotations

from torch import Tensor

import genbench
from genbench.builtin.losses.variational import InfoVAEOptions, WAEOptions
from genbench.builtin.losses.variational.divergences import kl_to_standard_normal
from genbench.builtin.losses.variational.likelihoods import make_likelihood

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def inverse_multiquadratic(a: Tensor, b: Tensor) -> Tensor:
    """Σ_s C_s / (C_s + |a_i - b_j|²), (len(a), len(b)), with C_s = s·2·dim, for a prior of unit variance.

    2·dim is the expected squared distance between two draws from the prior (Tolstikhin et al. 2018, section 4; the sum
    over scales is that of their experiments).
    """
    squared = (a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T).clamp(min=0)
    constants = [2 * a.shape[1] * scale for scale in SCALES]
    first, *rest = (constant / (constant + squared) for constant in constants)
    return sum(rest, start=first)


def mmd(latents: Tensor, prior: Tensor) -> Tensor:
    """MMD² of two samples as a U-statistic: 0 in expectation for equal distributions, so it can be negative.

    The terms that pair a draw with itself are omitted (Gretton et al. 2012, equation 3; Tolstikhin et al. 2018,
    algorithm 2). Raises GenbenchError for fewer than two draws.
    """
    if min(len(latents), len(prior)) < 2:
        raise genbench.GenbenchError(
            "The MMD compares the latents of a batch with each other, but this batch has a single image.",
            "Use --batch-size 2 or more.",
            code="GB509",
        )
    across = inverse_multiquadratic(latents, prior).mean()
    return _mean_of_pairs(latents) + _mean_of_pairs(prior) - 2 * across


def wae_mmd(options: WAEOptions) -> genbench.VariationalLoss:
    """Return reconstruction + λ·MMD² with a deterministic encoder (Tolstikhin et al. 2018, algorithm 2).

    There is no curve `kl`: the divergence of a posterior without variance is infinite.
    """
    likelihood = make_likelihood(options)

    def objective(posterior: genbench.Posterior) -> genbench.Objective:
        reconstruction = likelihood.mean(posterior.images, posterior.logits)
        discrepancy = mmd(posterior.latents, _prior(posterior))
        terms = {"reconstruction": reconstruction, "mmd": discrepancy, **likelihood.terms()}
        return genbench.Objective(reconstruction + options.mmd_weight * discrepancy, terms)

    return likelihood.loss(objective, deterministic=True, uses_prior=True)


def info_vae(options: InfoVAEOptions) -> genbench.VariationalLoss:
    """Return reconstruction + (1-α)·KL + (α+λ-1)·MMD² (Zhao et al. 2019, section 3, which does not fix the kernel).

    Raises GenbenchError where α + λ < 1, which would drive latents away from the prior.
    """
    mmd_weight = options.alpha + options.mmd_weight - 1
    if mmd_weight < 0:
        raise genbench.GenbenchError(
            f"info-vae.alpha + info-vae.mmd_weight - 1 = {mmd_weight:g} is the weight of the MMD and must not be "
            "negative.",
            "Raise info-vae.mmd_weight to 1 - info-vae.alpha or more.",
        )
    likelihood = make_likelihood(options)

    def objective(posterior: genbench.Posterior) -> genbench.Objective:
        reconstruction = likelihood.mean(posterior.images, posterior.logits)
        kl = kl_to_standard_normal(posterior.mean, posterior.log_variance)
        discrepancy = mmd(posterior.latents, _prior(posterior))
        terms = {"reconstruction": reconstruction, "kl": kl, "mmd": discrepancy, **likelihood.terms()}
        return genbench.Objective(reconstruction + (1 - options.alpha) * kl + mmd_weight * discrepancy, terms)

    return likelihood.loss(objective, uses_prior=True)


def _mean_of_pairs(sample: Tensor) -> Tensor:
    kernel = inverse_multiquadratic(sample, sample)
    count = len(sample)
    return (kernel.sum() - kernel.diagonal().sum()) / (count * (count - 1))


def _prior(posterior: genbench.Posterior) -> Tensor:
    if posterior.prior is None:
        raise genbench.GenbenchError(
            "The loss compares latents with draws from the prior, but received none.",
            "The family must fill Posterior.prior where VariationalLoss.uses_prior is set.",
        )
    return posterior.prior
