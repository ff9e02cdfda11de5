"""Built-in losses: formulas and their sources; the functions lie in `adversarial` and `variational`."""

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


@genbench.hookimpl
def genbench_losses() -> Iterable[genbench.LossSpec]:
    """Yield the built-in losses."""
    yield genbench.LossSpec(
        name="non-saturating",
        family="adversarial",
        summary="binary cross-entropy for D; G maximises log D(G(z))",
        create="genbench.builtin.losses.adversarial:non_saturating",
        formula="L_D = E softplus(-D(x)) + E softplus(D(G(z))), L_G = E softplus(-D(G(z)))",
        source="Goodfellow et al. 2014, arXiv:1406.2661, section 3",
    )
    yield genbench.LossSpec(
        name="minimax",
        family="adversarial",
        summary="binary cross-entropy for D; G minimises log(1 - D(G(z)))",
        create="genbench.builtin.losses.adversarial:minimax",
        formula="L_D = E softplus(-D(x)) + E softplus(D(G(z))), L_G = -E softplus(D(G(z)))",
        source="Goodfellow et al. 2014, arXiv:1406.2661, equation 1",
    )
    yield genbench.LossSpec(
        name="elbo",
        family="variational",
        summary="reconstruction (cross-entropy or squared error) plus β times the KL divergence to N(0, I)",
        create="genbench.builtin.losses.variational:elbo",
        formula="E_q[-log p(x|z)] + β Σ ½(μ² + σ² - 1 - log σ²), sums over pixels and latents, mean over the batch",
        source="Kingma & Welling 2014, arXiv:1312.6114, equation 10; β: Higgins et al. 2017",
        options=ElboOptions,
    )
