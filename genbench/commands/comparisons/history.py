"""`Results.history`: speed and quality over runs, and where their level changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genbench.commands.arguments import names_of
from genbench.commands.printed import Printable
from genbench.errors import NoDataError, UsageError, near_miss
from genbench.gate.history import TimeSeries, left_out, time_series
from genbench.report import history as shown
from genbench.report.figures.appearance import make_appearance
from genbench.report.figures.figure import Figure
from genbench.report.figures.kinds import figure_of_series
from genbench.report.figures.options import Options
from genbench.results.store import RunContents


@dataclass(frozen=True, repr=False)
class History(Printable):
    """Time series of throughput and metrics, each over comparable measurements of one cell."""

    series: tuple[TimeSeries, ...]
    notes: tuple[str, ...] = ()  # speeds that are left out, with the reason

    def text(self, everything: bool = False) -> str:
        """Return the levels of each series; with `everything`, each run."""
        return shown.text(self.series, everything)

    def as_data(self) -> list[dict[str, Any]]:
        """Return the series with their changes as plain data."""
        return shown.document(self.series)

    def figure(self) -> Figure:
        """Return the figure that the command draws; needs matplotlib."""
        return figure_of_series(self.series, Options(), make_appearance())


def history_of(runs: Sequence[RunContents], shown_runs: Sequence[str], quantity: str | Sequence[str]) -> History:
    """Return the history of runs, named `shown_runs`, see `Results.history`."""
    found = time_series(runs)
    wanted = names_of(quantity)
    known = list(dict.fromkeys(series.quantity for series in found))
    for name in wanted if found else ():
        if name not in known:
            raise UsageError(
                f"No run has the quantity '{name}'.{near_miss(name, known)}",
                f"Quantities: {', '.join(known)}.",
                code="GB101",
            )
    chosen = [series for series in found if not wanted or series.quantity in wanted]
    if not chosen:
        raise NoDataError(
            f"No measurements in {', '.join(shown_runs)}.", "Name runs with at least one successful cell."
        )
    return History(tuple(chosen), tuple(left_out(runs)))
