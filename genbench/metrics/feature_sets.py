"""What the metrics of features begin with: features of several sets of images that may be compared, or why not."""

from __future__ import annotations

import torch
from torch import Tensor

from genbench.api.evaluation import Evaluation, SetName
from genbench.metrics.frechet import statistics, whiten
from genbench.plugins.feature_metrics import PREFIXES


def earned_name(prefix: str, evaluation: Evaluation, extractor: str) -> str:
    """Return what this measurement is called with the weights that were found; raises `ExtractorUnavailable`."""
    return PREFIXES[prefix].named(extractor, evaluation.extractor(extractor).name)


def comparable_features(
    evaluation: Evaluation, extractor: str, *names: SetName, at_least: int = 2
) -> tuple[Tensor, ...]:
    """Return the features (N, d), float64, of each of these sets, whitened by the training images' where asked for.

    Raises ValueError where a set has fewer than `at_least` images, a feature is NaN or infinite, or the training
    images, where they are asked for, all have the same features.
    """
    whitened = evaluation.extractor(extractor).whiten
    sets = {name: evaluation.features(extractor, name) for name in dict.fromkeys((*names, *_WHITENS[whitened]))}
    for name, features in sets.items():
        if len(features) < at_least:
            raise ValueError(f"it needs {at_least} images at least; {_SAID[name]}: {len(features)}.")
        wrong = int((~features.isfinite().all(1)).sum())
        if wrong:
            raise ValueError(f"the features of {wrong} of the {_SAID[name]} are not finite.")
    if "train" in sets and bool((sets["train"] == sets["train"][:1]).all()):
        raise ValueError("the training images all have the same features: there is nothing to compare by.")
    if not whitened:
        return tuple(sets[name] for name in names)
    transform = whiten(statistics(sets["train"]))
    return tuple(transform(sets[name]) for name in names)


def protocol_of(
    evaluation: Evaluation, extractor: str, **rest: str | int | float | bool
) -> dict[str, str | int | float | bool]:
    """Return the protocol of a number that compares all samples with all training images by their features."""
    loaded = evaluation.extractor(extractor)
    return {
        **loaded.protocol,
        "reference_split": "train",
        "n_reference": len(evaluation.train.pixels),
        "whitened": loaded.whiten,
        **rest,
    }


def random_subset(features: Tensor, count: int, seed: int = 0) -> Tensor:
    """Return `count` of the rows, the same ones each time, so that all cells are compared with the same images."""
    if count >= len(features):
        return features
    chosen = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))[:count]
    return features[chosen]


_SAID: dict[SetName, str] = {"samples": "samples", "train": "training images", "test": "held-out images"}
_WHITENS: dict[bool, tuple[SetName, ...]] = {True: ("train",), False: ()}
