"""Adversarial losses: what they are called, their options, formulas and sources."""

from __future__ import annotations

from collections.abc import Iterable

import genbench


def specs() -> Iterable[genbench.LossSpec]:
    """Yield the losses of the adversarial family."""
    yield genbench.LossSpec(
        name="non-saturating",
        family="adversarial",
        summary="binary cross-entropy for D; G maximises log D(G(z))",
        create="genbench.builtin.losses.adversarial.games:non_saturating",
        formula="L_D = E softplus(-D(x)) + E softplus(D(G(z))), L_G = E softplus(-D(G(z)))",
        source="Goodfellow et al. 2014, arXiv:1406.2661, section 3",
    )
    yield genbench.LossSpec(
        name="minimax",
        family="adversarial",
        summary="binary cross-entropy for D; G minimises log(1 - D(G(z)))",
        create="genbench.builtin.losses.adversarial.games:minimax",
        formula="L_D = E softplus(-D(x)) + E softplus(D(G(z))), L_G = -E softplus(D(G(z)))",
        source="Goodfellow et al. 2014, arXiv:1406.2661, equation 1",
    )
