"""The metrics `vendi-q1-…`, `vendi-q2-…` and `vendi-inf-…`: the effective number of different samples.

With the eigenvalues λ of K/n, where Kᵢⱼ is the cosine between the features of samples i and j, the Vendi score of
order q is the exponential of their Rényi entropy (Friedman and Dieng, 2023, arXiv:2210.02410; orders: Pasarkar and
Dieng, 2024, arXiv:2310.12952):

    VS_q = (Σ λ^q)^(1/(1-q))        VS_1 = exp(-Σ λ ln λ)        VS_∞ = 1 / max λ

It is 1 where all samples are alike and n where their features are orthogonal; it cannot exceed the number of features.
VS_2 is 1 / mean of the squared cosines, each sample's with itself among them. The smaller of the n × n matrix of
cosines and the d × d matrix of second moments has the same non-zero eigenvalues.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.features.placement import computed_on
from genbench.metrics.feature_sets import comparable_features, earned_name, protocol_of, random_subset, unit_length
from genbench.metrics.standard_errors import Deletions, make_blocks, rows_outside

ORDERS = {"q1": 1.0, "q2": 2.0, "inf": math.inf}
CONSERVATIVE = (
    "the two largest eigenvalues are not told apart: the standard error is conservative, up to twice too large"
)
_APART = 4  # standard errors of the largest eigenvalue; in simulations equal ones were less than three apart


class Score(NamedTuple):
    """A Vendi score."""

    value: float
    standard_error: float | None
    conservative: bool = False  # the error is too large, because the largest eigenvalue may be one of several


def measure(evaluation: Evaluation, extractor: str) -> list[Estimate | Unavailable]:
    """Return the scores of all samples.

    Features are not whitened, as in the paper. The scores grow with the number of samples, up to the number of
    features: compare them at equal n. The standard error covers the drawing of samples, by the delete-block jackknife.
    `null` is the score of as many training images, the same ones each time; there is none where there are fewer of
    them.
    """
    name = earned_name("vendi", evaluation, extractor)
    try:
        samples, train = comparable_features(evaluation, extractor, "samples", "train", whitened=False)
        samples, n = unit_length(samples), len(samples)
    except ValueError as error:
        return [Unavailable(name, str(error))]
    blocks = make_blocks(n, evaluation.generator(f"jackknife of {name}"))
    orders = tuple(ORDERS.values())
    found = computed_on(evaluation.device, lambda x: scores(x, blocks, orders), samples)

    def of_training_images() -> list[float]:
        real = unit_length(random_subset(train, n))
        return [one.value for one in computed_on(evaluation.device, lambda x: scores(x, (), orders), real)]

    nulls = evaluation.of_data(f"{name} of {n}", of_training_images) if len(train) >= n else [None] * len(orders)
    return [
        Estimate(
            metric=name.replace("vendi", f"vendi-{which}", 1),
            value=score.value,
            standard_error=score.standard_error,
            n=n,
            direction="higher",
            protocol=protocol_of(evaluation, extractor, kernel="cosine", order=str(order), whitened=False),
            null=null,
            remark=CONSERVATIVE if score.conservative else "",
        )
        for (which, order), score, null in zip(ORDERS.items(), found, nulls, strict=True)
    ]


def vendi_score(eigenvalues: Tensor, order: float) -> float:
    """Return the Vendi score of order q > 0 of eigenvalues (r,) ≥ 0 that sum to 1: from 1 to r."""
    shares = eigenvalues.double().clamp_min(0)
    shares = shares[shares > torch.finfo(shares.dtype).eps * shares.max()]  # the others are rounding
    if order == 1:
        return float(torch.special.entr(shares).sum().exp())
    if math.isinf(order):
        return float(1 / shares.max())
    return float(shares.pow(order).sum() ** (1 / (1 - order)))


def scores(features: Tensor, blocks: Sequence[Tensor], orders: Sequence[float]) -> list[Score]:
    """Return the Vendi score of unit vectors (n, d) for each order, and its jackknife error from drawing them.

    `blocks` partition the rows; there is no error without them. The largest eigenvalue has no derivative where the
    second is equal to it: its error is then too large.
    """
    n, d = features.shape
    gram = features.T @ features if d <= n else features @ features.T

    def without(rows: Tensor) -> Tensor:
        if d <= n:
            return gram - features[rows].T @ features[rows]
        kept = rows_outside(rows, n).to(gram.device)
        return gram[kept][:, kept]

    deletions = Deletions(blocks)
    spectra = [torch.linalg.eigvalsh(gram) / n]
    spectra += [torch.linalg.eigvalsh(without(rows)) / (n - len(rows)) for rows in deletions.rows]
    found = []
    for order in orders:
        value, *replicates = (vendi_score(spectrum, order) for spectrum in spectra)
        error = deletions.standard_error(value, torch.tensor(replicates))
        found.append(Score(value, error, error is not None and math.isinf(order) and _may_be_equal(spectra[0], error)))
    return found


def _may_be_equal(eigenvalues: Tensor, error: float) -> bool:
    """Return whether the largest two, ascending, may be equal; `error` is that of 1 / the largest."""
    if len(eigenvalues) < 2:
        return False
    second, largest = map(float, eigenvalues[-2:])
    return largest - second < _APART * error * largest**2
