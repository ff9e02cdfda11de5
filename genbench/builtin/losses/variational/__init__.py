"""Variational losses: names, options, formulas and sources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import genbench

_HERE = "genbench.builtin.losses.variational"


@dataclass(frozen=True)
class LikelihoodOptions:
    """The likelihood of images, which every variational loss has as options."""

    likelihood: Literal["bernoulli", "gaussian", "gaussian-learned", "logistic"] = genbench.option(
        "bernoulli",
        "bernoulli: cross-entropy of the pixels; gaussian: squared error over 2·sigma²; gaussian-learned: the same "
        "with a trained sigma; logistic: discretised over 256 levels, with a trained scale",
    )
    sigma: float = genbench.option(
        1.0,
        "standard deviation of a pixel (gaussian), or initial value of the trained scale",
        minimum=1e-4,
        maximum=1000,
        unused_with={"likelihood": ["bernoulli"]},
    )


@dataclass(frozen=True)
class ElboOptions(LikelihoodOptions):
    """Options of `elbo`."""

    beta: float = genbench.option(1.0, "weight of the KL term (λ in many texts); 1: the loss is a bound", minimum=0)
    annealing: Literal["none", "linear", "cyclical"] = genbench.option(
        "none", "how the weight of the KL term rises from 0 to beta: not at all, once, or once per cycle"
    )
    annealing_share: float = genbench.option(
        0.5,
        "fraction of the budget (linear) or of each cycle (cyclical) over which it rises",
        minimum=0.001,
        maximum=1,
        unused_with={"annealing": ["none"]},
    )
    annealing_cycles: int = genbench.option(
        4, "cyclical: number of cycles in the budget", minimum=1, unused_with={"annealing": ["none", "linear"]}
    )
    free_bits: float = genbench.option(0.0, "nats of each latent's mean KL that are not penalised", minimum=0)


@dataclass(frozen=True)
class BetaVAEOptions(ElboOptions):
    """Options of `beta-vae`."""

    beta: float = genbench.option(4.0, "weight of the KL term, without a capacity", minimum=0)
    capacity: float = genbench.option(
        0.0, "final C in nats: the KL term becomes capacity_weight·|KL - C(t)|; 0: beta·KL", minimum=0
    )
    capacity_weight: float = genbench.option(
        1000.0, "γ, weight of the distance to the capacity", minimum=0, unused_with={"capacity": [0]}
    )
    capacity_share: float = genbench.option(
        0.5,
        "fraction of the budget over which C(t) rises linearly from 0",
        minimum=0.001,
        maximum=1,
        unused_with={"capacity": [0]},
    )


@dataclass(frozen=True)
class BetaTCVAEOptions(LikelihoodOptions):
    """Options of `beta-tc-vae`."""

    alpha: float = genbench.option(1.0, "weight of the mutual information between image and latents", minimum=0)
    beta: float = genbench.option(6.0, "weight of the total correlation", minimum=0)
    gamma: float = genbench.option(1.0, "weight of the dimension-wise KL", minimum=0)
    estimator: Literal["stratified", "weighted"] = genbench.option(
        "stratified", "estimator of q(z) from a minibatch: stratified is unbiased; weighted is used in the paper"
    )


@dataclass(frozen=True)
class IWAEOptions(LikelihoodOptions):
    """Options of `iwae`."""

    samples: int = genbench.option(5, "K, latents drawn per image; increases time and memory", minimum=1)


@dataclass(frozen=True)
class WAEOptions(LikelihoodOptions):
    """Options of `wae-mmd`."""

    likelihood: Literal["bernoulli", "gaussian", "gaussian-learned", "logistic"] = genbench.option(
        "gaussian", "reconstruction cost; gaussian with sigma = √½ is the squared error up to a constant"
    )
    sigma: float = genbench.option(
        0.5**0.5, "as for elbo", minimum=1e-4, maximum=1000, unused_with={"likelihood": ["bernoulli"]}
    )
    mmd_weight: float = genbench.option(10.0, "λ, weight of the MMD between latents and prior", minimum=0)


@dataclass(frozen=True)
class InfoVAEOptions(LikelihoodOptions):
    """Options of `info-vae`."""

    alpha: float = genbench.option(0.0, "1 - α is the weight of the KL term; 1: the MMD only", maximum=1)
    mmd_weight: float = genbench.option(
        1000.0, "λ; α + λ - 1 is the weight of the MMD between latents and prior", minimum=0
    )


def specs() -> Iterable[genbench.LossSpec]:
    """Yield the losses of the variational family."""
    yield genbench.LossSpec(
        name="elbo",
        family="variational",
        summary="reconstruction (cross-entropy or squared error) plus β times the KL divergence to N(0, I)",
        create=f"{_HERE}.bounds:elbo",
        formula="E_q[-log p(x|z)] + β Σ_j max(λ, ½(μ² + σ² - 1 - log σ²)), sums over pixels and latents, mean over the "
        "batch, λ = free_bits. 'Squared error (or cross-entropy) + λ·KL' is likelihood=gaussian (bernoulli), beta=λ",
        source="Kingma & Welling 2014, arXiv:1312.6114, equation 10; free bits: Kingma et al. 2016, arXiv:1606.04934; "
        "annealing: Bowman et al. 2016, arXiv:1511.06349, and Fu et al. 2019, arXiv:1903.10145; "
        "learned sigma: Rybkin et al. 2021, arXiv:2006.13202; logistic: Salimans et al. 2017, arXiv:1701.05517",
        options=ElboOptions,
    )
    yield genbench.LossSpec(
        name="beta-vae",
        family="variational",
        summary="elbo with a larger KL weight, or with KL controlled towards a rising capacity",
        create=f"{_HERE}.bounds:beta_vae",
        formula="reconstruction + β·KL; with a capacity: reconstruction + γ|KL - C(t)|",
        source="Higgins et al. 2017, beta-VAE, equation 4; Burgess et al. 2018, arXiv:1804.03599, section 5",
        options=BetaVAEOptions,
    )
    yield genbench.LossSpec(
        name="beta-tc-vae",
        family="variational",
        summary="KL term split into mutual information, total correlation and dimension-wise KL, each weighted",
        create=f"{_HERE}.total_correlation:beta_tc_vae",
        formula="reconstruction + α·KL(q(z,x) ‖ q(z)p(x)) + β·KL(q(z) ‖ Π q(z_j)) + γ Σ_j KL(q(z_j) ‖ p(z_j))",
        source="Chen et al. 2018, arXiv:1802.04942, equations 2 to 4, appendix C",
        options=BetaTCVAEOptions,
    )
    yield genbench.LossSpec(
        name="iwae",
        family="variational",
        summary="a tighter bound from K importance-weighted latents per image",
        create=f"{_HERE}.bounds:iwae",
        formula="-E log 1/K Σ_k p(x|z_k) p(z_k) / q(z_k|x)",
        source="Burda et al. 2016, arXiv:1509.00519, equation 8",
        options=IWAEOptions,
    )
    yield genbench.LossSpec(
        name="wae-mmd",
        family="variational",
        summary="deterministic encoder; an MMD term matches the latents of a batch to the prior",
        create=f"{_HERE}.discrepancy:wae_mmd",
        formula="reconstruction + λ·MMD²(q(z), p(z)), U-statistic, k(a,b) = Σ_s s·2d / (s·2d + |a-b|²), "
        "s in .1, .2, .5, 1, 2, 5, 10",
        source="Tolstikhin et al. 2018, arXiv:1711.01558, algorithm 2",
        options=WAEOptions,
    )
    yield genbench.LossSpec(
        name="info-vae",
        family="variational",
        summary="KL term and MMD to the prior, weighted so that latents stay informative",
        create=f"{_HERE}.discrepancy:info_vae",
        formula="reconstruction + (1-α)·KL + (α+λ-1)·MMD²(q(z), p(z)), the MMD as for wae-mmd",
        source="Zhao et al. 2019, arXiv:1706.02262, section 3",
        options=InfoVAEOptions,
    )
