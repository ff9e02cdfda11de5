"""Which metrics a run measures, and which of them apply to each cell."""

from __future__ import annotations

from collections.abc import Sequence

from genbench.api.specs import DatasetSpec, FamilySpec, MetricSpec
from genbench.plan.profiles import Profile
from genbench.plugins.catalogue import LIKELIHOOD, Catalogue
from genbench.plugins.feature_metrics import PREFIXES, with_prefix


def select_metrics(names: Sequence[str] | None, profile: Profile, catalogue: Catalogue) -> list[MetricSpec]:
    """Return the metrics with these names; if `names` is None, the default ones and those that the profile adds.

    A name may select several metrics: a prefix, such as 'kd', that metric of every extractor; 'likelihood', all
    metrics that need a bound. Raises `UsageError` for an unknown name.
    """
    if names is None:
        chosen = [entry.spec for entry in catalogue.metrics.values() if entry.spec.default]
        extra = [catalogue.metrics[name].spec for name in profile.extra_metrics if name in catalogue.metrics]
        return [*chosen, *(spec for spec in extra if spec not in chosen)]
    found: list[MetricSpec] = []
    for name in names:
        if name in PREFIXES:
            extractors = [entry.spec for entry in catalogue.extractors.values()]
            found += [catalogue.require("metrics", full).spec for full in with_prefix(name, extractors)]
        elif name == LIKELIHOOD:
            found += [entry.spec for entry in catalogue.metrics.values() if entry.spec.needs_bound]
        else:
            found.append(catalogue.require("metrics", name).spec)
    return list(dict.fromkeys(found))


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
