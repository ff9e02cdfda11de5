"""Every kind of figure by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genbench.errors import UsageError, near_miss
from genbench.gate.extractor_certificate import Certificate
from genbench.gate.history import TimeSeries, time_series
from genbench.report.figures.appearance import Appearance
from genbench.report.figures.curves_plot import curves_plot
from genbench.report.figures.figure import Figure
from genbench.report.figures.frontier_plot import frontier_plot
from genbench.report.figures.history_plot import history_plot
from genbench.report.figures.ladder_plot import ladder_plot
from genbench.report.figures.options import Options, Plot
from genbench.report.figures.ranks_plot import ranks_plot
from genbench.report.figures.samples_plot import samples_plot
from genbench.report.figures.scaling_plot import scaling_plot
from genbench.report.figures.throughput_plot import throughput_plot
from genbench.report.figures.tuning_plot import tuning_plot
from genbench.report.table.layout import Table
from genbench.report.table.outcome import CellOutcome
from genbench.results.store import RunContents
from genbench.results.tuning import TuningRecord

LADDER = "ladder"  # drawn from a certificate, not from runs
TUNING = "tuning"  # drawn from the record of a tuning


@dataclass(frozen=True)
class Shown:
    """The cells that a figure shows, in the forms that its kinds need."""

    table: Table
    runs: Sequence[RunContents]  # with these cells only
    files_of: Callable[[CellOutcome], Mapping[str, Path]]

    @property
    def swept(self) -> list[str]:
        """The settings that these runs swept."""
        return list(dict.fromkeys(name for run in self.runs for name in run.record.swept))


_OF_RUNS: Mapping[str, Callable[[Shown, Options], Plot]] = {
    "frontier": lambda shown, options: frontier_plot(shown.table, options),
    "curves": lambda shown, options: curves_plot(shown.table, options),
    "samples": lambda shown, options: samples_plot(shown.table, shown.files_of, options),
    "throughput": lambda shown, options: throughput_plot(shown.table, options),
    "scaling": lambda shown, options: scaling_plot(shown.table, shown.swept, options),
    "ranks": lambda shown, options: ranks_plot(shown.runs, options),
    "history": lambda shown, options: history_plot(time_series(shown.runs), options),
}
KINDS = (*_OF_RUNS, LADDER, TUNING)


def check_kind(kind: str) -> None:
    """Raise `UsageError` with the nearest name for an unknown kind."""
    if kind not in KINDS:
        raise UsageError(f"Unknown kind '{kind}'.{near_miss(kind, KINDS)}", f"Kinds: {', '.join(KINDS)}.", code="GB101")


def figure_of_runs(kind: str, shown: Shown, options: Options, look: Appearance) -> Figure:
    """Return a figure of cells; raise `UsageError` for an unknown kind or quantity, `NoDataError` without data."""
    check_kind(kind)
    if kind == LADDER:
        raise UsageError(
            "A ladder is drawn from a certificate, not from a run.",
            "Make one with `genbench metrics certify EXTRACTOR --json > certificate.json`, and name that file.",
            code="GB710",
        )
    if kind == TUNING:
        raise UsageError(
            "A figure of kind tuning is drawn from a tuning, not from a run.",
            "Use genbench.load_tuning(DIR).figure(), or `genbench figure DIR --kind tuning`.",
            code="GB710",
        )
    plot = _OF_RUNS[kind](shown, options)
    return Figure(kind, plot.caption, plot.draw, look)


def figure_of_series(found: Sequence[TimeSeries], options: Options, look: Appearance) -> Figure:
    """Return the figure of series over runs; see `history_plot` for errors."""
    plot = history_plot(found, options)
    return Figure("history", plot.caption, plot.draw, look)


def figure_of_tuning(record: TuningRecord, options: Options, look: Appearance) -> Figure:
    """Return the figure of a tuning; raise `NoDataError` if no trial has a value."""
    plot = tuning_plot(record, options)
    return Figure(TUNING, plot.caption, plot.draw, look)


def figure_of_certificate(certificate: Certificate, options: Options, look: Appearance) -> Figure:
    """Return the figure of a certificate's ladders."""
    plot = ladder_plot(certificate, options)
    return Figure(LADDER, plot.caption, plot.draw, look)
