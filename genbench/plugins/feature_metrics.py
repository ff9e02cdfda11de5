"""The metrics that every extractor provides: one per measurement of its features, named after the extractor.

The names FID, KID and IS are reserved for the Inception weights of 2015; with other features the same measurements are
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
    """A measurement of the features of any extractor: `measure(evaluation, extractor)`."""

    prefix: str  # of the name; alone, in --metrics, it selects the measurement with every default extractor
    measure: str
    direction: Literal["lower", "higher", "each"]
    summary: str
    inception: str = ""  # prefix with the Inception weights of 2015; empty: the usual one
    needs_classes: bool = False
    default: bool = False  # measured if --metrics is not given

    def name(self, extractor: ExtractorSpec) -> str:
        """Return the name of the metric with this extractor."""
        return self.named(extractor.name, extractor.metric)

    def named(self, extractor: str, distance: str) -> str:
        """Return the name with this extractor, whose weights give the Fréchet distance the name `distance`."""
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
        "how confidently {} classifies the samples, and how diverse their classes are",
        inception="is",
        needs_classes=True,
    ),
    FeatureMetric(
        "class-balance",
        "genbench.metrics.class_balance:measure",
        "lower",
        "share of samples in excess in some classes, as classified by {}",
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
    """Return the names of one measurement with each default extractor among these."""
    metric = PREFIXES[prefix]
    return [
        metric.name(extractor)
        for extractor in extractors
        if extractor.default and (extractor.classifies or not metric.needs_classes)
    ]


def _measure(evaluation: Any, target: str, extractor: str) -> Any:
    return resolve(target)(evaluation, extractor)
