"""Which metrics a run measures, and which of them apply to each cell."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from genbench.api.images import Shape
from genbench.api.specs import DatasetSpec, FamilySpec, MetricSpec
from genbench.planning.default_extractors import CLASSIFIER, LEARNED, default_extractors
from genbench.planning.profiles import Profile
from genbench.plugins.catalogue import LIKELIHOOD, Catalogue
from genbench.plugins.metric_names import FeatureMetric


@dataclass(frozen=True)
class MetricSelection:
    """The metrics that were asked for, as far as that does not depend on the dataset; `of_dataset` says which they are.

    Without names they are the default ones and those that the profile adds. A name may select several metrics: that of
    a metric which is measured per extractor, such as 'kd', selects it with the default extractors of the dataset;
    'likelihood', all metrics that need a bound.
    """

    names: Sequence[str] | None
    catalogue: Catalogue
    device: str  # type
    inception_at_hand: bool = False
    profile: Profile | None = None

    def extractors(self, dataset: DatasetSpec, shape: Shape) -> dict[str, str]:
        """Return the default extractors of a dataset, each with the reason for which its data chose it."""
        known = [entry.spec for entry in self.catalogue.extractors.values()]
        return default_extractors(known, dataset, shape, self.device, self.inception_at_hand)

    def of_dataset(self, dataset: DatasetSpec, shape: Shape) -> list[MetricSpec]:
        """Return the metrics for a dataset; raise `UsageError` for an unknown name."""
        extractors = self.extractors(dataset, shape)
        if self.names is not None:
            return _named_metrics(self.names, self.catalogue, extractors)
        known = [entry.spec for entry in self.catalogue.metrics.values()]
        chosen = [spec for spec in known if self._is_default(spec, extractors)]
        extra = self.profile.extra_metrics if self.profile else ()
        added = [self.catalogue.metrics[name].spec for name in extra if name in self.catalogue.metrics]
        return [*chosen, *(spec for spec in added if spec not in chosen)]

    def _is_default(self, spec: MetricSpec, extractors: Collection[str]) -> bool:
        if isinstance(spec, FeatureMetric):
            return self.catalogue.metrics[spec.base].spec.default and spec.extractor in extractors
        return spec.default and not spec.per_extractor


def _named_metrics(names: Sequence[str], catalogue: Catalogue, extractors: Collection[str]) -> list[MetricSpec]:
    """Return the metrics that these names select, each once; raise `UsageError` for an unknown name."""
    found: list[MetricSpec] = []
    for name in names:
        if name == LIKELIHOOD:
            bounds = [entry.spec for entry in catalogue.metrics.values() if entry.spec.needs_bound]
            found += [spec for spec in bounds if not spec.per_extractor]
        else:
            spec = catalogue.require("metrics", name).spec
            found += _with_extractors(spec, catalogue, extractors) if spec.per_extractor else [spec]
    return list({spec.name: spec for spec in found}.values())


def _with_extractors(spec: MetricSpec, catalogue: Catalogue, extractors: Collection[str]) -> list[MetricSpec]:
    """Return a metric that is measured per extractor with each of these extractors, or with those that classify."""
    every = [entry.spec for entry in catalogue.metrics.values()]
    with_each = {one.extractor: one for one in every if isinstance(one, FeatureMetric) and one.base == spec.name}
    names = [CLASSIFIER if spec.needs_classes and name == LEARNED else name for name in extractors]
    return [with_each[name] for name in names if name in with_each]


def applicable_metrics(
    metrics: Sequence[MetricSpec], family: FamilySpec | None, dataset: DatasetSpec
) -> tuple[str, ...]:
    """Return the names of the metrics that apply to models of this family on this dataset."""
    if dataset.synthetic or family is None:
        return ()
    return tuple(
        spec.name
        for spec in metrics
        if (family.reconstructs or not spec.needs_reconstruction)
        and (not dataset.points or not spec.needs_pictures)
        and (dataset.modes is not None or not spec.needs_modes)
        and (family.bounds or family.exact or not spec.needs_bound)
        and (dataset.factors or not spec.needs_factors)
    )
