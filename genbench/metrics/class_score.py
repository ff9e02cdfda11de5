"""The metric ``class-score-<extractor>``, or `is` with the Inception weights of 2015: confidence and variety.

    exp E KL(p(y|x) ‖ p(y))        (Salimans et al., 2016, arXiv:1606.03498, section 4)

p(y|x) is a classifier's prediction for an image and p(y) the mean prediction over all images. The score is 1 where the
prediction is the same for every image, and C where each is certain and all C classes are equally frequent. It ignores
the data: one perfect image per class reaches the best score. On data unlike the classifier's own it means little.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.metrics.feature_sets import earned_name
from genbench.metrics.standard_errors import make_blocks, standard_error_from_replicates


def measure(evaluation: Evaluation, extractor: str) -> Estimate | Unavailable:
    """Return the class score of all samples at once, with its error from the delete-block jackknife.

    This is not the usual mean over ten splits with their standard deviation (`score_of_splits`): a tenth of the
    samples has a lower score, and that deviation is not the standard error of the mean.
    """
    name = earned_name("class-score", evaluation, extractor)
    if len(evaluation.samples.pixels) < 2:
        return Unavailable(name, "a class score needs at least two samples.")
    logits = evaluation.logits(extractor, "samples")
    if logits is None:
        return Unavailable(name, f"the extractor '{extractor}' is no classifier: it gives no class logits.")
    if not bool(logits.isfinite().all()):
        return Unavailable(name, "the classifier's logits of some samples are not finite.")
    log_p = logits.log_softmax(1)
    entropies, p = _entropies(log_p), log_p.exp()
    blocks = make_blocks(len(p), evaluation.generator(f"jackknife of {name}"))
    replicates = [
        _score((p.sum(0) - p[block].sum(0)), entropies.sum() - entropies[block].sum(), len(p) - len(block))
        for block in blocks
    ]
    return Estimate(
        metric=name,
        value=class_score(logits),
        standard_error=standard_error_from_replicates(torch.stack(replicates)) if blocks else None,
        n=len(p),
        direction="higher",
        protocol={
            **evaluation.extractor(extractor).protocol,
            "classes": p.shape[1],
            "splits": 1,
        },
    )


def class_score(logits: Tensor) -> float:
    """Return the class score of logits (N, C), N ≥ 1: from 1 to C."""
    log_p = logits.double().log_softmax(1)
    return float(_score(log_p.exp().sum(0), _entropies(log_p).sum(), len(logits)))


def score_of_splits(logits: Tensor, splits: int = 10) -> tuple[float, float]:
    """Return mean and population standard deviation over splits of consecutive rows, as is usual for IS."""
    scores = torch.tensor([class_score(part) for part in logits.tensor_split(splits)], dtype=torch.float64)
    return float(scores.mean()), float(scores.std(correction=0))


def _entropies(log_p: Tensor) -> Tensor:
    entropies: Tensor = -torch.special.xlogy(log_p.exp(), log_p.exp()).sum(1)
    return entropies


def _score(p_sum: Tensor, entropy_sum: Tensor, n: int) -> Tensor:
    mean = p_sum / n
    # E KL(p ‖ p̄) is the entropy of the mean less the mean entropy: negative only by rounding
    information: Tensor = -torch.special.xlogy(mean, mean).sum() - entropy_sum / n
    return information.clamp_min(0).exp()
