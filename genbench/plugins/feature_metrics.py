"""The metrics that every extractor brings: each is one measurement of features, under a name that says of which.

A name with FID, KID or IS in it is for the Inception weights of 2015 only: of other features the same numbers are
called fd, kd and class-score.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from genbench.api.specs import ExtractorSpec, MetricSpec, resolve


@dataclass(frozen=True)
class FeatureMetric:
    """A measurement that can be made of any extractor's features: `measure(evaluation, extractor)`."""

    prefix: str  # of the name; alone, in --metrics, it means the measurement with every extractor that needs no naming
    measure: str
    direction: Literal["lower", "higher", "each"]
    summary: str
    inception: str = ""  # what it is called with the Inception weights of 2015; empty: as with any extractor
    needs_classes: bool = False
    default: bool = False  # measured when no --metrics are named

    def name(self, extractor: ExtractorSpec) -> str:
        """Return what it is called with this extractor."""
        return self.named(extractor.name, extractor.metric)

    def named(self, extractor: str, distance: str) -> str:
        """Return what it is called where the weights that were found earn the Fréchet distance this name."""
        if self.prefix == "fd":
            return distance
        if self.inception and distance.startswith("fid"):
            return distance.replace("fid", self.inception, 1)
        return f"{self.prefix}-{distance.removeprefix('fd-') if distance.startswith('fd-') else extractor}"


FEATURE_METRICS: tuple[FeatureMetric, ...] = (
    FeatureMetric(
        "fd", "genbench.metrics.frechet_distance:measure", "lower", "Fréchet distance of {} features", default=True
    ),
    FeatureMetric(
        "kd",
        "genbench.metrics.kernel_distance:measure",
        "lower",
        "unbiased kernel distance of {} features",
        inception="kid",
    ),
    FeatureMetric(
        "sw",
        "genbench.metrics.sliced_wasserstein:measure",
        "lower",
        "sliced Wasserstein distance of {} features",
    ),
    FeatureMetric(
        "prdc",
        "genbench.metrics.prdc:measure",
        "each",
        "precision, recall, density and coverage by nearest neighbours in {} features",
    ),
    FeatureMetric(
        "class-score",
        "genbench.metrics.class_score:measure",
        "higher",
        "how sure {} is of the samples' classes, and how various they are",
        inception="is",
        needs_classes=True,
    ),
    FeatureMetric(
        "class-balance",
        "genbench.metrics.class_balance:measure",
        "lower",
        "share of samples too many in some classes, as {} tells them",
        needs_classes=True,
    ),
    FeatureMetric(
        "memorisation",
        "genbench.metrics.memorisation:measure",
        "each",
        "whether samples copy training images, by nearest neighbours in {} features",
    ),
)
PREFIXES = {metric.prefix: metric for metric in FEATURE_METRICS}


def feature_metrics(extractor: ExtractorSpec) -> Iterable[MetricSpec]:
    """Yield the metrics of an extractor's features."""
    for metric in FEATURE_METRICS:
        if metric.needs_classes and not extractor.classifies:
            continue
        about = f": {extractor.summary}" if metric.prefix == "fd" and extractor.summary else ""
        yield MetricSpec(
            name=metric.name(extractor),
            summary=metric.summary.format(extractor.name) + about,
            measure=functools.partial(_measure, target=metric.measure, extractor=extractor.name),
            direction=metric.direction,
            needs_pictures=True,
            default=metric.default and extractor.default,
        )


def with_prefix(prefix: str, extractors: Iterable[ExtractorSpec]) -> list[str]:
    """Return the names of one measurement with each of these extractors that is used without being named."""
    metric = PREFIXES[prefix]
    return [
        metric.name(extractor)
        for extractor in extractors
        if extractor.default and (extractor.classifies or not metric.needs_classes)
    ]


def _measure(evaluation: Any, target: str, extractor: str) -> Any:
    return resolve(target)(evaluation, extractor)
