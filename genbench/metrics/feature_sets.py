"""Feature sets for the feature metrics: comparable features of several sets of images, or the reason there are none."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genbench.api.evaluation import Evaluation, SetName, Statistics
from genbench.metrics.frechet import statistics, whiten
from genbench.plugins.feature_metrics import PREFIXES


def earned_name(prefix: str, evaluation: Evaluation, extractor: str) -> str:
    """Return the metric's name for the weights actually loaded; raise `ExtractorUnavailable`."""
    return PREFIXES[prefix].named(extractor, evaluation.extractor(extractor).name)


def comparable_features(
    evaluation: Evaluation, extractor: str, *names: SetName, at_least: int = 2
) -> tuple[Tensor, ...]:
    """Return the features (N, d), float64, of each named set, whitened by the training images if the extractor says so.

    Raises ValueError where a set has fewer than `at_least` images, a feature is NaN or infinite, or the training images
    are used and all have the same features.
    """
    whitened = evaluation.extractor(extractor).whiten
    sets = {
        name: evaluation.features(extractor, name) for name in dict.fromkeys((*names, *_SETS_FOR_WHITENING[whitened]))
    }
    for name, features in sets.items():
        if len(features) < at_least:
            raise ValueError(f"it needs at least {at_least} images; {_DESCRIPTIONS[name]}: {len(features)}.")
        wrong = int((~features.isfinite().all(1)).sum())
        if wrong:
            raise ValueError(f"the features of {wrong} of the {_DESCRIPTIONS[name]} are not finite.")
    if "train" in sets and bool((sets["train"] == sets["train"][:1]).all()):
        raise ValueError("the training images all have the same features: there is no scale to compare by.")
    if not whitened:
        return tuple(sets[name] for name in names)
    transform = whiten(statistics(sets["train"]))
    return tuple(transform(sets[name]) for name in names)


def reference_space(evaluation: Evaluation, extractor: str) -> tuple[Callable[[Tensor], Tensor], Statistics]:
    """Return the map of features to the space in which distances are taken, and the training images' Gaussian there."""
    reference = evaluation.statistics(extractor, "train")
    if not evaluation.extractor(extractor).whiten:
        return Tensor.double, reference
    transform = whiten(reference)
    return transform, statistics(transform(evaluation.features(extractor, "train")))


def protocol_of(
    evaluation: Evaluation, extractor: str, **rest: str | int | float | bool
) -> dict[str, str | int | float | bool]:
    """Return the protocol of a metric that compares the samples' features with those of all training images."""
    loaded = evaluation.extractor(extractor)
    return {
        **loaded.protocol,
        "reference_split": "train",
        "n_reference": len(evaluation.train.pixels),
        "whitened": loaded.whiten,
        **rest,
    }


def random_subset(features: Tensor, count: int, seed: int = 0) -> Tensor:
    """Return `count` rows, the same ones each time, so that all cells are compared with the same images."""
    if count >= len(features):
        return features
    chosen = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))[:count]
    return features[chosen]


_DESCRIPTIONS: dict[SetName, str] = {"samples": "samples", "train": "training images", "test": "held-out images"}
_SETS_FOR_WHITENING: dict[bool, tuple[SetName, ...]] = {True: ("train",), False: ()}
