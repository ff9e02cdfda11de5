"""Feature sets for the feature metrics: comparable features of several sets of images, or the reason there are none."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from genbench.api.evaluation import Evaluation, ExtractorUnavailable, SetName, Statistics
from genbench.metrics.frechet import statistics, whiten
from genbench.plugins.metric_names import with_extractor

SUBSET_SEED = 0


def earned_name(metric: str, evaluation: Evaluation, extractor: str) -> str:
    """Return the metric's name for the weights actually loaded; raise `ExtractorUnavailable`."""
    return with_extractor(metric, extractor, evaluation.extractor(extractor).name)


def comparable_features(
    evaluation: Evaluation, extractor: str, *names: SetName, at_least: int = 2, whitened: bool = True
) -> tuple[Tensor, ...]:
    """Return the features (N, d), float64, of each named set, whitened by the training images if the extractor says so.

    Without `whitened` they are as the network computes them: training images that whiten themselves have a covariance
    of exactly I, which new images of their distribution do not, so that the two sets would not be alike.

    Raises ValueError where a set has fewer than `at_least` images, a feature is NaN or infinite, or the training images
    are used and all have the same features.
    """
    whitens = whitened and evaluation.extractor(extractor).whiten
    sets = {
        name: evaluation.features(extractor, name) for name in dict.fromkeys((*names, *_SETS_FOR_WHITENING[whitens]))
    }
    for name, features in sets.items():
        if len(features) < at_least:
            raise ValueError(f"it needs at least {at_least} images; {_DESCRIPTIONS[name]}: {len(features)}.")
        wrong = int((~features.isfinite().all(1)).sum())
        if wrong:
            raise ValueError(f"the features of {wrong} of the {_DESCRIPTIONS[name]} are not finite.")
    if "train" in sets and bool((sets["train"] == sets["train"][:1]).all()):
        raise ValueError("the training images all have the same features: there is no scale to compare by.")
    if not whitens:
        return tuple(sets[name] for name in names)
    transform = evaluation.of_data(f"whitening by {extractor}", lambda: whiten(statistics(sets["train"])))

    def whitened_set(name: SetName) -> Tensor:
        if name == "samples":
            return transform(sets[name])
        return evaluation.of_data(f"{name} whitened by {extractor}", lambda: transform(sets[name]))

    return tuple(map(whitened_set, names))


def held_out_features(evaluation: Evaluation, extractor: str) -> Tensor | None:
    """Return the held-out images' features as `comparable_features` does; None where there are none to compare with."""
    try:
        return comparable_features(evaluation, extractor, "test")[0]
    except (ExtractorUnavailable, ValueError):
        return None


def reference_space(evaluation: Evaluation, extractor: str) -> tuple[Callable[[Tensor], Tensor], Statistics]:
    """Return the map of features to the space in which distances are taken, and the training images' Gaussian there."""
    reference = evaluation.statistics(extractor, "train")
    if not evaluation.extractor(extractor).whiten:
        return Tensor.double, reference

    def whitened_reference() -> tuple[Callable[[Tensor], Tensor], Statistics]:
        transform = whiten(reference)
        return transform, statistics(transform(evaluation.features(extractor, "train")))

    return evaluation.of_data(f"whitened reference of {extractor}", whitened_reference)


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


def unit_length(features: Tensor) -> Tensor:
    """Return features (N, d), each row divided by its length; raise ValueError where a row is 0."""
    lengths: Tensor = torch.linalg.vector_norm(features, dim=1, keepdim=True)
    zero = int((lengths == 0).sum())
    if zero:
        raise ValueError(f"the features of {zero} images are all 0: they have no direction.")
    return features / lengths


def all_among(rows: Tensor, others: Tensor) -> bool:
    """Return whether each of these images or features is one of the others, as samples of *real held-out* are."""
    known = {one.numpy().tobytes() for one in others.cpu()}
    return all(one.numpy().tobytes() in known for one in rows.cpu())


def random_subset(features: Tensor, count: int, seed: int = SUBSET_SEED) -> Tensor:
    """Return `count` rows, the same ones each time, so that all cells are compared with the same images.

    The choice depends on the features (N, d) and the seed, and not on their order: the names of files do not matter.
    """
    if count >= len(features):
        return features
    return features[_random_keys(features, seed).argsort(stable=True)[:count].sort().values]


def _random_keys(features: Tensor, seed: int) -> Tensor:
    """Return a number in [0, 1) for each row, (N,), that rounding and rotation of the features hardly change.

    It consists of the digits of the distance from the mean behind about the third, of which the seed is a factor. Rows
    of the same distance, such as copies, are spread evenly.
    """
    distances = (features.double() - features.double().mean(0)).square().sum(1)
    distances = distances / distances.mean().clamp_min(torch.finfo(torch.float64).tiny)
    order = distances.argsort(stable=True)
    starts = torch.ones(len(order), dtype=torch.bool)
    starts[1:] = distances[order].diff() > _SAME
    places = torch.arange(len(order))
    copy = torch.empty_like(places)  # which one of the rows of the same distance it is
    copy[order] = places - torch.where(starts, places, 0).cummax(0).values
    factor = 1e3 * (1 + float(torch.rand(1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)))
    return (distances * factor + copy * _GOLDEN_RATIO).remainder(1)


def repeated(features: Tensor, times: int) -> int:
    """Return how many rows (N, d) have at least `times` exact copies among the other rows."""
    digests = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in (features + 0.0).numpy()]  # -0 is 0
    return sum(count for count in Counter(digests).values() if count > times)


def too_many_copies(features: Tensor, times: int) -> int:
    """Return `repeated`, or 0 where this concerns at most 5 % of the rows (N, d).

    A ball that reaches to the `times`-th nearest other row is empty around a row that has as many copies.
    """
    found = repeated(features, times)
    return found if found > _MOST_EMPTY * len(features) else 0


_MOST_EMPTY = 0.05  # share of the rows
_SAME = 1e-9  # distances of copies differ by rounding only
_GOLDEN_RATIO = (5**0.5 - 1) / 2  # its multiples are spread evenly over [0, 1)
_DESCRIPTIONS: dict[SetName, str] = {"samples": "samples", "train": "training images", "test": "held-out images"}
_SETS_FOR_WHITENING: dict[bool, tuple[SetName, ...]] = {True: ("train",), False: ()}
