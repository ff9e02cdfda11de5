"""What has been measured of a finished cell: which metrics, with which samplers and options."""

from __future__ import annotations

from dataclasses import dataclass

from genbench.api.options import OptionValue
from genbench.api.specs import MetricSpec
from genbench.planning.samplers import metric_and_sampler
from genbench.plugins.metric_names import covers
from genbench.results.schema import CellResult, LaterMeasurement, PlannedCell


@dataclass(frozen=True)
class EarlierValues:
    """The values of a cell. A sampler is named by its label; the empty one is the family's own way of drawing."""

    planned: PlannedCell
    result: CellResult

    def names(self, label: str = "") -> list[str]:
        """Return the metrics that were asked for, in the plan or later; estimates may be named otherwise."""
        was_planned = not label or any(sampler.label == label for sampler in self.planned.samplers)
        names = [*self.result.identity.metrics] if was_planned else []
        later = [name for one in self._later(label) for name in one.metrics]
        return list(dict.fromkeys([*names, *later]))

    def has(self, spec: MetricSpec, label: str = "") -> bool:
        """Whether there are values of a metric; their names may depend on weights, so what was asked for counts too."""
        found, missing = (
            any(by == label and covers(spec, name) for name, by in (metric_and_sampler(one.metric) for one in several))
            for several in (self.result.estimates, self.result.unavailable)
        )
        return found or (not missing and spec.name in self.names(label))

    def options(self, name: str, label: str = "") -> dict[str, OptionValue]:
        """Return the options with which a metric was measured last."""
        found = (self.result.identity.metric_options or {}).get(name, {})
        for later in self._later(label):
            found = later.metric_options.get(name, found)
        return found

    def _later(self, label: str) -> list[LaterMeasurement]:
        return [one for one in self.result.measured_later if label == (one.sampler.label if one.sampler else "")]
