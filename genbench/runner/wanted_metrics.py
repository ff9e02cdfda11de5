"""What `genbench measure` was asked for, and what of it a finished cell lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from genbench.api.options import OptionValue
from genbench.api.specs import DatasetSpec, FamilySpec
from genbench.planning.metric_selection import MetricSelection, applicable_metrics
from genbench.planning.samplers import choose_sampler, measures_samples, named_by_sampler, parse_sampler
from genbench.plugins.catalogue import Catalogue
from genbench.process.messages import SamplerMetrics
from genbench.results.schema import ChosenSampler
from genbench.runner.earlier_values import EarlierValues

Options = Mapping[str, Mapping[str, OptionValue]]  # name of a metric -> option -> value


@dataclass(frozen=True)
class Pending:
    """What is to be measured of a cell."""

    before: EarlierValues
    applicable: tuple[str, ...]  # the metrics that were asked for and apply to the cell, pending or not
    metrics: list[str]  # pending, of the samples that its family draws in its own way
    by_sampler: list[SamplerMetrics]
    options: Options
    remarks: list[str] = field(default_factory=list)  # for the user
    missing: tuple[str, ...] = ()  # metrics of the cell that are not installed

    @property
    def names(self) -> tuple[str, ...]:
        """All pending metrics."""
        return tuple(dict.fromkeys([*self.metrics, *(name for one in self.by_sampler for name in one.metrics)]))


@dataclass(frozen=True)
class WantedMetrics:
    """Metrics and samplers that cells are to be measured with.

    Without metrics, samples of the samplers are measured with the metrics that a cell has been measured with.
    """

    catalogue: Catalogue
    selection: MetricSelection
    options: Options  # of the metrics of all cells
    samplers: Sequence[str]  # as in a request
    again: bool  # also what has a value already, which the new one replaces

    def pending(self, before: EarlierValues, family: FamilySpec, dataset: DatasetSpec) -> Pending:
        """Return what a cell of this family and dataset lacks; with `again`, everything that was asked for."""
        specs = self.selection.of_dataset(dataset, before.planned.identity.image_shape)
        names = applicable_metrics(specs, family, dataset)
        left_out = ", ".join(spec.name for spec in specs if spec.name not in names)
        remarks = [f"{left_out} cannot be measured for its family and dataset"] if left_out else []
        samplers, absent = self._samplers(family)
        if absent:
            remarks.append(f"its family '{family.name}' has no sampler {absent}")
        sampled, options, missing = list(names), self.options, tuple[str, ...]()
        if not specs and samplers:
            known = before.names()
            sampled = [name for name in known if name in self.catalogue.metrics]
            missing = tuple(name for name in known if name not in sampled)
            options = {name: found for name in sampled if (found := before.options(name))}
        sampled = [name for name in sampled if measures_samples(self.catalogue.metrics[name].spec)]
        wanted = {"": list(names), **{one.label: sampled for one in samplers}}
        lacking = {label: self._lacking(before, several, label) for label, several in wanted.items()}
        by_sampler = [SamplerMetrics(one, lacking[one.label]) for one in samplers if lacking[one.label]]
        remarks.append(_describe(lacking) or self._why_nothing(before, wanted, options))
        return Pending(before, names, lacking[""], by_sampler, options, remarks, missing)

    def _samplers(self, family: FamilySpec) -> tuple[list[ChosenSampler], str]:
        """Return the samplers that a family has, each once, and the names of the others."""
        found = {text: choose_sampler(text, family) for text in self.samplers}
        absent = dict.fromkeys(f"'{parse_sampler(text)[0]}'" for text, sampler in found.items() if sampler is None)
        return list({one.label: one for one in found.values() if one is not None}.values()), " or ".join(absent)

    def _lacking(self, before: EarlierValues, names: Sequence[str], label: str) -> list[str]:
        return [name for name in names if self.again or not before.has(self.catalogue.metrics[name].spec, label)]

    def _why_nothing(self, before: EarlierValues, wanted: Mapping[str, Sequence[str]], options: Options) -> str:
        others = [
            named_by_sampler(name, label)
            for label, several in wanted.items()
            for name in several
            if name in options and options[name] != before.options(name, label)
        ]
        if not any(wanted.values()):
            unknown = not self.selection.names and len(wanted) > 1
            return "it has no metrics of samples; name some with --metrics" if unknown else "nothing to measure"
        what = f"{', '.join(others)} has values of other options" if others else "nothing to measure"
        return f"{what}; --again replaces what has a value"


def _describe(lacking: Mapping[str, Sequence[str]]) -> str:
    """Return what will be measured, with which samplers; empty if that is nothing."""
    parts = [named_by_sampler(", ".join(names), label) for label, names in lacking.items() if names]
    return f"measuring {'; '.join(parts)}" if parts else ""
