"""Losses of vector-quantised models: names, options, formulas and sources."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import genbench
from genbench.builtin.losses.variational import LikelihoodOptions


@dataclass(frozen=True)
class VQOptions(LikelihoodOptions):
    """Options of `vq`."""

    likelihood: Literal["bernoulli", "gaussian", "gaussian-learned", "logistic"] = genbench.option(
        "gaussian", "as for elbo: gaussian is the squared error over 2·sigma², bernoulli the cross-entropy"
    )
    sigma: float = genbench.option(
        0.1,
        "as for elbo; smaller values weight the reconstruction more relative to the two codebook terms",
        minimum=1e-4,
        maximum=1000,
        unused_with={"likelihood": ["bernoulli"]},
    )
    commitment: float = genbench.option(0.25, "β, weight of the commitment term", minimum=0)


def specs() -> Iterable[genbench.LossSpec]:
    """Yield the losses of the vector-quantised family."""
    yield genbench.LossSpec(
        name="vq",
        family="vector-quantised",
        summary="reconstruction, plus terms that pull code vectors and encodings together",
        create="genbench.builtin.losses.vector_quantised.quantisation:vq",
        formula="-log p(x|z_q) + Σ|sg[z_e] - e|² + β Σ|z_e - sg[e]|², sums over pixels and grid, mean over the batch; "
        "the prior minimises -Σ log p(code | codes before it)",
        source="van den Oord et al. 2017, arXiv:1711.00937, equation 3",
        options=VQOptions,
    )
