"""The metric ``class-balance-<extractor>``: how far the samples' class proportions are from the data's.

The total variation distance ½ Σ |p - q| between the shares p of the samples' classes and q of the training images':
the share of samples that would have to change class. The same classifier labels both sets, so errors that it makes on
both do not count as imbalance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.metrics.feature_sets import earned_name
from genbench.metrics.standard_errors import make_blocks, standard_error_from_replicates


def measure(evaluation: Evaluation, extractor: str) -> Estimate | Unavailable:
    """Return the total variation distance, its jackknife error, and the value expected by chance at this size."""
    name = earned_name("class-balance", evaluation, extractor)
    if not len(evaluation.samples.pixels) or not len(evaluation.train.pixels):
        return Unavailable(name, "class balance needs samples and training images.")
    sample_logits, train_logits = evaluation.logits(extractor, "samples"), evaluation.logits(extractor, "train")
    if sample_logits is None or train_logits is None:
        return Unavailable(name, f"the extractor '{extractor}' is no classifier: it gives no class logits.")
    if not bool(sample_logits.isfinite().all() and train_logits.isfinite().all()):
        return Unavailable(name, "the classifier's logits of some images are not finite.")
    size, n = sample_logits.shape[1], len(sample_logits)
    classes = sample_logits.argmax(1)
    counts = torch.bincount(classes, minlength=size)
    shares = torch.bincount(train_logits.argmax(1), minlength=size).double() / len(train_logits)
    blocks = make_blocks(n, evaluation.generator(f"jackknife of {name}"))
    replicates = [total_variation(counts - torch.bincount(classes[block], minlength=size), shares) for block in blocks]
    return Estimate(
        metric=name,
        value=total_variation(counts, shares),
        standard_error=standard_error_from_replicates(torch.tensor(replicates)) if blocks else None,
        n=n,
        direction="lower",
        protocol={
            **evaluation.extractor(extractor).protocol,
            "classes": size,
            "distance": "total variation",
            "reference_split": "train",
            "n_reference": len(train_logits),
        },
        null=expected_total_variation(shares, n),
    )


def total_variation(counts: Tensor, shares: Tensor) -> float:
    """Return ½ Σ |counts / n - shares| of counts (C,), not all 0, and shares (C,) that sum to 1: from 0 to 1."""
    return float((counts.double() / counts.sum() - shares).abs().sum() / 2)


def expected_total_variation(shares: Tensor, n: int) -> float:
    """Return the mean total variation distance from `shares` of n draws from them.

    The mean absolute deviation of a binomial is 2ν C(n, ν) qᵛ (1-q)ⁿ⁻ᵛ⁺¹ with ν = ⌊nq⌋ + 1 (de Moivre, 1730;
    Diaconis and Zabell, Closed form summation for classical distributions, 1991).
    """
    deviations = 0.0
    for q in shares.tolist():
        if 0 < q < 1:
            v = math.floor(n * q) + 1
            log_choose = math.lgamma(n + 1) - math.lgamma(v + 1) - math.lgamma(n - v + 1)
            deviations += 2 * v * math.exp(log_choose + v * math.log(q) + (n - v + 1) * math.log1p(-q))
    return deviations / n / 2
