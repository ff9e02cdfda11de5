"""Variational losses: what they are called, their options, formulas and sources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import genbench


@dataclass(frozen=True)
class ElboOptions:
    """Options of `elbo`."""

    likelihood: Literal["bernoulli", "gaussian"] = genbench.option(
        "bernoulli", "bernoulli: cross-entropy of the pixels; gaussian: squared error over 2·sigma²"
    )
    beta: float = genbench.option(1.0, "weight of the KL term (λ in many texts); 1 makes it a bound", minimum=0)
    sigma: float = genbench.option(1.0, "standard deviation of a pixel under the gaussian likelihood", minimum=1e-4)


def specs() -> Iterable[genbench.LossSpec]:
    """Yield the losses of the variational family."""
    yield genbench.LossSpec(
        name="elbo",
        family="variational",
        summary="reconstruction (cross-entropy or squared error) plus β times the KL divergence to N(0, I)",
        create="genbench.builtin.losses.variational.bounds:elbo",
        formula="E_q[-log p(x|z)] + β Σ ½(μ² + σ² - 1 - log σ²), sums over pixels and latents, mean over the batch",
        source="Kingma & Welling 2014, arXiv:1312.6114, equation 10; β: Higgins et al. 2017",
        options=ElboOptions,
    )
