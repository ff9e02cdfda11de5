"""The metric `active-units`: how many latents a variational model uses."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.metrics.likelihood import NO_MEANS, no_bound
from genbench.metrics.standard_errors import make_blocks, rows_outside, standard_error_from_replicates

NAME = "active-units"
THRESHOLD = 0.01  # of the variance of a posterior mean; a latent's prior has variance 1


def active_units(means: Tensor) -> int:
    """Return how many of the latents j have Var_x(E_q[z_j|x]) > 0.01, from posterior means (N, latent_dim), N ≥ 2.

    Burda et al. 2016, "Importance Weighted Autoencoders", section 5.2.
    """
    return int((means.double().var(0) > THRESHOLD).sum())


def measure(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the number of active units over all held-out images.

    The standard error comes from the delete-block jackknife; it is 0 if no latent is near the threshold.
    """
    bound = evaluation.bound(1)
    if bound is None:
        return Unavailable(NAME, no_bound(evaluation))
    means = bound.mean
    if means is None:
        return Unavailable(NAME, NO_MEANS)
    if len(means) < 2:
        return Unavailable(NAME, "a variance needs at least two held-out images.")
    blocks = make_blocks(len(means), evaluation.generator("jackknife of active units"))
    replicates = [float(active_units(means[rows_outside(block, len(means))])) for block in blocks]
    return Estimate(
        metric=NAME,
        value=float(active_units(means)),
        standard_error=standard_error_from_replicates(torch.tensor(replicates)) if replicates else None,
        n=len(means),
        direction="higher",
        protocol={"threshold": THRESHOLD, "split": "test"},
    )
