"""The metrics `class-fd-…`, `class-precision-…` and `class-recall-…`: distance and overlap within each class.

For samples of a conditional model, each class of the samples is compared with the training images of the same class,
and the number is the mean over classes. A model that draws the right images under the wrong labels has good distances
over all samples and a bad one here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from genbench.api.evaluation import Estimate, Evaluation, Unavailable
from genbench.features.placement import computed_on
from genbench.metrics.feature_sets import comparable_features, earned_name, protocol_of, random_subset, too_many_copies
from genbench.metrics.frechet import distance_variance, frechet_distance, statistics
from genbench.metrics.frechet_null import null_distance
from genbench.metrics.manifolds import K, Overlap, overlap
from genbench.metrics.standard_errors import VarianceParts, error_of_mean, make_blocks

LEAST = 50  # images of a class in either set for precision and recall: ten times as many as neighbours
_NAMED = 3  # classes that a reason or remark names


def measure(evaluation: Evaluation, extractor: str) -> list[Estimate | Unavailable]:
    """Return the three means over classes; their errors cover the drawing of samples within classes.

    Every class of the training images counts, equally. Where one has too few images in either set, there is no number:
    a Fréchet distance needs more images than features, precision and recall need 50, and no more than 5 % of them with
    as many copies as neighbours. All classes contribute the same number of images to precision and recall, a random
    subset of the larger ones. Features are whitened, if at all, by all training images.
    """
    name = earned_name("per-class", evaluation, extractor)
    try:
        samples, train = comparable_features(evaluation, extractor, "samples", "train")
        labels = _labels(evaluation)
    except ValueError as error:
        return [Unavailable(name, str(error))]
    classes = sorted(set(labels[1].tolist()))
    pairs = {one: (samples[labels[0] == one], train[labels[1] == one]) for one in classes}
    return [_distance(evaluation, extractor, name, pairs), *_overlaps(evaluation, extractor, name, pairs)]


def _labels(evaluation: Evaluation) -> tuple[Tensor, Tensor]:
    given = evaluation.samples.labels, evaluation.train.labels
    if given[0] is None:
        raise ValueError("the samples have no classes: it needs a conditional model.")
    if given[1] is None:
        raise ValueError("the training images have no labels.")
    found = torch.as_tensor(given[0]).long(), torch.as_tensor(given[1]).long()
    unknown = sorted(set(found[0].tolist()) - set(found[1].tolist()))
    if unknown:
        raise ValueError(f"samples have the class {unknown[0]}, which no training image has.")
    return found


Pairs = Mapping[int, tuple[Tensor, Tensor]]  # class -> features of its samples and of its training images


def _distance(evaluation: Evaluation, extractor: str, name: str, pairs: Pairs) -> Estimate | Unavailable:
    name = name.replace("per-class", "class-fd", 1)
    d = next(iter(pairs.values()))[0].shape[1]
    lacking = _too_few(pairs, d + 1, f"a Fréchet distance in {d} features needs at least {d + 1}")
    if lacking:
        return Unavailable(name, lacking)
    values: dict[int, float] = {}
    variances, nulls = [], []
    for one, (x, y) in pairs.items():
        blocks = make_blocks(len(x), evaluation.generator(f"jackknife of {name}, class {one}"))
        values[one], variance = computed_on(evaluation.device, functools.partial(_distance_within, blocks=blocks), x, y)
        variances.append(variance)
        expected = null_distance(statistics(y), len(x))
        nulls.append(math.nan if expected is None else expected)
    null, known = sum(nulls) / len(nulls), [one for one in variances if one is not None]
    worst = max(values, key=lambda one: values[one])
    best = min(values, key=lambda one: values[one])
    return Estimate(
        metric=name,
        value=sum(values.values()) / len(values),
        standard_error=error_of_mean(known) if len(known) == len(variances) else None,
        n=sum(len(x) for x, _ in pairs.values()),
        direction="lower",
        protocol=protocol_of(evaluation, extractor, ddof=1, classes=len(values), mean="over classes"),
        null=null if math.isfinite(null) else None,
        remark=f"class {worst} is farthest ({values[worst]:.4g}), class {best} nearest ({values[best]:.4g})",
    )


def _distance_within(x: Tensor, y: Tensor, blocks: Sequence[Tensor]) -> tuple[float, VarianceParts | None]:
    """Return the distance of the samples of a class, x, from its training images, y, and its variance."""
    reference = statistics(y)
    return frechet_distance(statistics(x), reference), distance_variance(x, reference, blocks)


def _overlaps(evaluation: Evaluation, extractor: str, name: str, pairs: Pairs) -> list[Estimate | Unavailable]:
    lacking = _too_few(pairs, LEAST, f"precision and recall need at least {LEAST}")
    if lacking:
        return [Unavailable(name.replace("per-class", f"class-{one}", 1), lacking) for one in ("precision", "recall")]
    n = min(len(features) for pair in pairs.values() for features in pair)
    found: list[Overlap] = []
    empty: dict[str, str] = {}
    for one, pair in pairs.items():
        x, y = (random_subset(features, n) for features in pair)
        for which, images, balls in (("precision", "training images", y), ("recall", "samples", x)):
            copies = too_many_copies(balls, K)
            if copies:
                reason = f"{copies} of {n} {images} of class {one} have {K} or more exact copies: remove the copies."
                empty.setdefault(which, reason)
        blocks = make_blocks(n, evaluation.generator(f"jackknife of {name}, class {one}"))

        def measured(x: Tensor, y: Tensor, blocks: Sequence[Tensor] = blocks) -> Overlap:
            return overlap(y, x, blocks)

        found.append(computed_on(evaluation.device, measured, x, y))
    results: list[Estimate | Unavailable] = []
    for which in ("precision", "recall"):
        metric = name.replace("per-class", f"class-{which}-k{K}-n{n}", 1)
        if which in empty:
            results.append(Unavailable(metric, empty[which]))
            continue
        scores = [getattr(one, which) for one in found]
        estimate = Estimate(
            metric=metric,
            value=sum(score.value for score in scores) / len(scores),
            standard_error=_of_mean([score.standard_error for score in scores]),
            n=n * len(scores),
            direction="higher",
            protocol=protocol_of(
                evaluation, extractor, k=K, classes=len(scores), images_per_class=n, mean="over classes"
            ),
        )
        results.append(estimate)
    return results


def _too_few(pairs: Pairs, least: int, rule: str) -> str:
    """Return why there is no number; empty where every class has enough images.

    More samples help only where the training images suffice.
    """
    for number, images, advice in ((1, "training images", ""), (0, "samples", " Draw more samples.")):
        few = sorted((len(pair[number]), one) for one, pair in pairs.items() if len(pair[number]) < least)
        if few:
            named = ", ".join(f"{one} ({count})" for count, one in few[:_NAMED])
            more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
            return (
                f"{rule} images of each class in both sets; these classes have fewer {images}: {named}{more}.{advice}"
            )
    return ""


def _of_mean(errors: Sequence[float | None]) -> float | None:
    """Return the error of the mean of independent numbers with these errors; None where one is unknown."""
    known = [error for error in errors if error is not None]
    return math.hypot(*known) / len(known) if len(known) == len(errors) else None
