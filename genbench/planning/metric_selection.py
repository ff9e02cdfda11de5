"""Which metrics a run measures, and which of them apply to each cell."""

from __future__ import annotations

from collections.abc import Sequence

from genbench.api.specs import DatasetSpec, FamilySpec, MetricSpec
from genbench.planning.profiles import Profile
from genbench.plugins.catalogue import LIKELIHOOD, Catalogue
from genbench.plugins.metric_names import FeatureMetric


def select_metrics(names: Sequence[str] | None, profile: Profile, catalogue: Catalogue) -> list[MetricSpec]:
    """Return the metrics with these names; if `names` is None, the default ones and those that the profile adds.

    A name may select several metrics: that of a metric which is measured per extractor, such as 'kd', selects it with
    every default extractor; 'likelihood', all metrics that need a bound. Raises `UsageError` for an unknown name.
    """
    if names is None:
        known = [entry.spec for entry in catalogue.metrics.values()]
        chosen = [spec for spec in known if spec.default and not spec.per_extractor]
        extra = [catalogue.metrics[name].spec for name in profile.extra_metrics if name in catalogue.metrics]
        return [*chosen, *(spec for spec in extra if spec not in chosen)]
    return named_metrics(names, catalogue)


def named_metrics(names: Sequence[str], catalogue: Catalogue) -> list[MetricSpec]:
    """Return the metrics that these names select, each once; raise `UsageError` for an unknown name."""
    found: list[MetricSpec] = []
    for name in names:
        if name == LIKELIHOOD:
            bounds = [entry.spec for entry in catalogue.metrics.values() if entry.spec.needs_bound]
            found += [spec for spec in bounds if not spec.per_extractor]
        else:
            spec = catalogue.require("metrics", name).spec
            found += _with_default_extractors(spec, catalogue) if spec.per_extractor else [spec]
    return list({spec.name: spec for spec in found}.values())


def _with_default_extractors(spec: MetricSpec, catalogue: Catalogue) -> list[MetricSpec]:
    """Return a metric that is measured per extractor with each extractor that need not be named."""
    every = [entry.spec for entry in catalogue.metrics.values()]
    with_each = {one.extractor: one for one in every if isinstance(one, FeatureMetric) and one.base == spec.name}
    default = [entry.spec.name for entry in catalogue.extractors.values() if entry.spec.default]
    return [with_each[name] for name in default if name in with_each]


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
