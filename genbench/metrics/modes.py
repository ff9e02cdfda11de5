"""The metrics `modes`, `mode-kl` and `mode-quality`: which of the data's modes a generator finds, and how evenly.

A dataset with known modes assigns each image to one of them, or to none (Srivastava et al., VEEGAN, 2017,
section 4; Metz et al., Unrolled Generative Adversarial Networks, 2017, section 3.3). Only modes that occur in the
training images count: a sample in any other mode is in none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genbench.api.evaluation import (
    Direction,
    Estimate,
    Evaluation,
    Unavailable,
)
from genbench.metrics.standard_errors import make_blocks, rows_outside, standard_error_from_replicates

FOUND, KL, QUALITY = "modes", "mode-kl", "mode-quality"


@dataclass(frozen=True)
class Tally:
    """How many images are in each of M modes."""

    counts: Tensor  # int64, (M,), samples
    reference: Tensor  # int64, (M,), training images, at least one each
    n: int  # samples, those in no mode included


def measure_found(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the number of modes that contain at least one sample.

    It grows with the number of samples: compare values at equal n. The standard error covers the drawing of samples, by
    the delete-block jackknife, in which a mode with a single sample disappears when that sample is deleted.
    """
    return _measure(evaluation, FOUND, "higher", modes_found, "found with one sample or more")


def measure_kl(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the Kullback-Leibler divergence KL(samples ‖ training images) of their histograms over modes, in nats.

    Samples in no mode are left out. Even a perfect model scores about (M - 1) / 2n from chance alone (Miller 1955):
    compare values at equal n. It is ln M where all samples are in one of M equally frequent modes.
    """
    return _measure(evaluation, KL, "lower", kl_divergence, "KL(samples || train), natural logarithm")


def measure_quality(evaluation: Evaluation) -> Estimate | Unavailable:
    """Return the share of the samples that are in some mode ("high quality" in VEEGAN).

    It is informative only where an image can be in none; with a classifier that always decides it is 1.
    """
    return _measure(evaluation, QUALITY, "higher", quality, "share of all samples")


def tally(samples: Tensor, train: Tensor) -> Tally:
    """Count the samples, int64 (n,), and training images, (N,), in each mode; -1 is none."""
    size = int(max(samples.max(), train.max())) + 1 if len(samples) and len(train) else 0
    reference = torch.bincount(train[train >= 0], minlength=size)
    counts = torch.bincount(samples[samples >= 0], minlength=size)
    return Tally(counts[reference > 0], reference[reference > 0], len(samples))


def modes_found(counted: Tally) -> float:
    """Return how many modes contain a sample."""
    return float((counted.counts > 0).sum())


def kl_divergence(counted: Tally) -> float:
    """Return Σ p ln(p / q) of the shares p of the samples and q of the training images; NaN without any sample."""
    p = counted.counts.double() / counted.counts.sum()
    q = counted.reference.double() / counted.reference.sum()
    return float((torch.special.xlogy(p, p) - torch.special.xlogy(p, q)).sum())


def quality(counted: Tally) -> float:
    """Return the share of the samples that are in a mode; NaN without any sample."""
    return float(counted.counts.sum()) / counted.n if counted.n else math.nan


def _measure(
    evaluation: Evaluation, name: str, direction: Direction, statistic: Callable[[Tally], float], rule: str
) -> Estimate | Unavailable:
    samples, train = evaluation.modes("samples"), evaluation.modes("train")
    if samples is None or train is None:
        return Unavailable(name, "the modes of this dataset are not known.")
    counted = tally(samples, train)
    if len(counted.reference) == 0:
        return Unavailable(name, "no training image is in any mode: the dataset's mode_of is at fault.")
    value = statistic(counted)
    if math.isnan(value):
        return Unavailable(name, "no sample is in any mode of the training images.")
    blocks = make_blocks(len(samples), evaluation.generator("jackknife of modes"))
    replicates = torch.tensor([statistic(tally(samples[rows_outside(block, len(samples))], train)) for block in blocks])
    has_error = len(blocks) > 0 and bool(replicates.isfinite().all())
    return Estimate(
        metric=name,
        value=value,
        standard_error=standard_error_from_replicates(replicates) if has_error else None,
        n=counted.n,
        direction=direction,
        protocol={
            "rule": rule,
            "modes": len(counted.reference),
            "reference_split": "train",
            "n_reference": len(train),
        },
    )
