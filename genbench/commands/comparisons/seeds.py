"""Statistics over seeds: which cells differ, which method is better over datasets, and how many seeds it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genbench.commands.arguments import names_of
from genbench.commands.printed import Printable
from genbench.errors import UsageError
from genbench.gate import over_datasets, power_forecast
from genbench.gate.contrasts import Contrast, Ranking, contrasts, rankings
from genbench.gate.limits import parse_share
from genbench.gate.samples import Sample, measured_metrics, samples_of_runs, usual_metric
from genbench.report.gate import contrasts as contrasts_shown
from genbench.report.gate import over_datasets as over_datasets_shown
from genbench.report.gate import power_forecast as power_shown
from genbench.results.store import RunContents


@dataclass(frozen=True, repr=False)
class CellComparison(Printable):
    """Which cells differ in a metric by more than chance, over seeds."""

    groups: tuple[Ranking, ...]  # cells that compare with each other, the best first
    pairs: tuple[Contrast, ...]  # of such cells, with the answer about each

    def text(self) -> str:
        """Return the tables and sentences that the command prints."""
        return contrasts_shown.text(self.groups, self.pairs)

    def as_data(self) -> dict[str, Any]:
        """Return groups and pairs as plain data."""
        return contrasts_shown.document(self.groups, self.pairs)


@dataclass(frozen=True, repr=False)
class MethodComparison(Printable):
    """Methods ranked over datasets."""

    found: over_datasets.OverDatasets

    def text(self) -> str:
        """Return ranks, tests and their pitfalls, as the command prints them."""
        return over_datasets_shown.text(self.found)

    def as_data(self) -> dict[str, Any]:
        """Return ranks and tests as plain data."""
        return over_datasets_shown.document(self.found)


@dataclass(frozen=True, repr=False)
class PowerForecast(Printable):
    """How many seeds, samples, images and hours it takes to see a difference."""

    forecast: power_forecast.Plan

    def text(self) -> str:
        """Return the tables and sentences that the command prints."""
        return power_shown.text(self.forecast)

    def as_data(self) -> dict[str, Any]:
        """Return the forecast of each pair and cell as plain data."""
        return power_shown.document(self.forecast)


def compare_cells(runs: Sequence[RunContents], metric: str | Sequence[str] | None) -> CellComparison:
    """Compare the cells of runs over seeds, see `Results.compare`."""
    samples = read_samples(runs, metric)
    pairs = contrasts(samples)
    return CellComparison(tuple(rankings(samples, pairs)), tuple(pairs))


def compare_methods(runs: Sequence[RunContents], metric: str | None) -> MethodComparison:
    """Rank the methods of runs over datasets, see `Results.compare_over_datasets`."""
    samples = read_samples(runs, metric)
    _require_one_metric(samples, "Methods are ranked by one metric.")
    return MethodComparison(over_datasets.compare_over_datasets(samples))


def forecast_power(
    runs: Sequence[RunContents],
    detect: str | float,
    metric: str | None,
    models: str | Sequence[str] | None,
    error: str | float,
    power: str | float,
) -> PowerForecast:
    """Forecast what it takes to see a difference, see `Results.power`."""
    share = parse_share(detect, "--detect")
    rates = parse_share(error, "--error"), parse_share(power, "--power")
    samples = read_samples(runs, metric)
    _require_one_metric(samples, "A forecast is about one metric.")
    return PowerForecast(power_forecast.forecast(samples, share, *rates, names_of(models or ())))


def read_samples(runs: Sequence[RunContents], metric: str | Sequence[str] | None) -> list[Sample]:
    """Return the samples of these metrics, or of ``all``; raise `UsageError` or `NoDataError`."""
    if metric is None:
        return samples_of_runs(runs, [usual_metric(measured_metrics(runs))])
    names = names_of(metric)
    if not names:
        raise UsageError("--metric names no metric.", f"Choose from: {', '.join(measured_metrics(runs))}.")
    return samples_of_runs(runs, [] if names == ["all"] else names)


def _require_one_metric(samples: Sequence[Sample], why: str) -> None:
    if len(names := dict.fromkeys(sample.metric for sample in samples)) > 1:
        raise UsageError(why, f"Give --metric with one of: {', '.join(names)}.")
