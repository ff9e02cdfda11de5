"""The metric ``fd-<extractor>``: the Fréchet distance of the generated images from the training images."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from genbench.api.evaluation import (
    Estimate,
    Evaluation,
    ExtractorUnavailable,
    Rows,
    Statistics,
    Unavailable,
)
from genbench.features.placement import computed_on
from genbench.measure.capabilities import is_accelerator
from genbench.metrics.feature_sets import earned_name, protocol_of
from genbench.metrics.frechet import frechet_distance, jackknife_distance, statistics, whiten, whitened
from genbench.metrics.frechet_null import null_distance
from genbench.metrics.standard_errors import Jackknife, make_blocks

CPU = torch.device("cpu")


class Distance(NamedTuple):
    """A distance with its uncertainty."""

    value: float
    standard_error: float | None  # from drawing the samples; None: too few samples
    debiased: float | None  # with the bias of the finite sample size removed; None: too few samples
    null: float | None  # expected value for as many images of a perfect generator; None: unknown


def distance_between(samples: Statistics, reference: Statistics, whitens: bool) -> Distance:
    """Return the distance of a Gaussian from `reference`, of which only the null says how much is chance.

    With `whitens`, both are first whitened by the reference.
    """
    if whitens:
        samples, reference = whitened(samples, reference), whitened(reference, reference)
    value = frechet_distance(samples, reference)
    return Distance(value, None, None, None if samples.n is None else _null(reference, samples.n, whitens))


def distance_from(
    features: Rows, reference: Statistics, whitens: bool, rng: torch.Generator, device: torch.device = CPU
) -> Distance:
    """Return the distance of features (N, d), N ≥ 2, from `reference`, with its error, bias and null.

    With `whitens`, both are first whitened by the reference, so that the scale of a feature does not matter. `rng`
    draws the jackknife blocks. On another device than the CPU, the features are taken there as a whole.
    """
    blocks = make_blocks(len(features), rng)

    def distance(features: Rows, mean: Tensor, factor: Tensor) -> tuple[float, Jackknife | None, int]:
        """Return value, error, and the number of features that are compared."""
        there = Statistics(mean, factor, reference.n)
        if whitens:
            features = whiten(there)(features[:])
            there = _standard(features.shape[1], reference.n, mean.device)
        value = frechet_distance(statistics(features), there)
        return value, jackknife_distance(features, there, blocks) if blocks else None, features.shape[1]

    if is_accelerator(device):
        value, found, d = computed_on(device, distance, features[:], reference.mean, reference.factor)
    else:
        value, found, d = distance(features, reference.mean, reference.factor)
    null = _null(_standard(d, reference.n, CPU) if whitens else reference, len(features), whitens)
    if found is None:
        return Distance(value, None, None, null)
    return Distance(value, found.standard_error, value - found.bias, null)


def _standard(d: int, n: int | None, device: torch.device) -> Statistics:
    """Return the Gaussian of n whitened images."""
    zero, one = torch.zeros(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64)
    return Statistics(zero.to(device), one.to(device), n)


def measure(evaluation: Evaluation, extractor: str) -> Estimate | Unavailable:
    """Return the distance between the samples' and the training images' features, named after the weights loaded.

    The standard error covers the drawing of samples, by the delete-block jackknife; the training images are a fixed
    reference. Where only statistics of the samples are known there is none, and n is 0 where their number is unknown.
    The value falls with the number of samples even for a perfect model (its bias is proportional to 1/n): compare
    values at equal n, or relative to the null.
    """
    loaded = evaluation.extractor(extractor)
    name = earned_name("fd", evaluation, extractor)
    if len(evaluation.samples.pixels) < 2:
        return Unavailable(name, "a Fréchet distance needs at least two samples.")
    reference = evaluation.statistics(extractor, "train")
    try:
        samples = evaluation.rows(extractor, "samples")
    except ExtractorUnavailable:  # the samples are known only by their statistics
        given = evaluation.statistics(extractor, "samples")
        found, n = distance_between(given, reference, loaded.whiten), given.n or 0
    else:
        rng = evaluation.generator(f"jackknife of {extractor}")
        found, n = distance_from(samples, reference, loaded.whiten, rng, evaluation.device), len(samples)
    return Estimate(
        metric=name,
        value=found.value,
        standard_error=found.standard_error,
        n=n,
        direction="lower",
        protocol=protocol_of(evaluation, extractor, ddof=1),
        debiased=found.debiased,
        null=found.null,
    )


def _null(reference: Statistics, n: int, whitens: bool) -> float | None:
    """Return the null; None where it is unknown how many images the reference was made from."""
    return None if reference.n is None else null_distance(reference, n, whitened=whitens)
