"""Average ranks over datasets, with bars that overlap where Nemenyi's critical difference does not separate methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genbench.gate.over_datasets import ERROR, OverDatasets, compare_over_datasets
from genbench.gate.samples import measured_metrics, samples_of_runs, usual_metric
from genbench.report.figures.appearance import series
from genbench.report.figures.caption import Caption
from genbench.report.figures.options import Options, Plot
from genbench.report.figures.text import shortened
from genbench.report.gate.over_datasets import pitfalls
from genbench.report.numbers import p_relation
from genbench.results.store import RunContents

if TYPE_CHECKING:
    from genbench.report.figures.canvas import Canvas

_MOST_METHODS = 40
_NAME = 40  # letters of a method's name


def ranks_plot(runs: Sequence[RunContents], options: Options) -> Plot:
    """Return the plot of the metric `options.y`; raise `UsageError` for an unknown one.

    Raises `NoDataError` for fewer than two methods with comparable values on two datasets.
    """
    options.refuse("ranks", "x", "log_x", "log_y")
    metric = options.first_y("ranks") or usual_metric(measured_metrics(runs))
    drawing = _RanksDrawing(compare_over_datasets(samples_of_runs(runs, [metric])))
    return Plot(drawing.caption(), drawing.draw)


class _RanksDrawing:
    def __init__(self, found: OverDatasets) -> None:
        self.found = found
        self.title = f"Average ranks by {found.metric} over {len(found.datasets)} datasets"

    def caption(self) -> Caption:
        found, ranks = self.found, self.found.ranks
        hidden = len(found.methods) - _MOST_METHODS
        half = f"half of Nemenyi's critical difference ({ranks.critical_difference:.2f} ranks at {ERROR:g})"
        return Caption(
            self.title,
            (
                ("Metric", f"{found.metric}, {found.direction} is better; the mean over seeds is ranked"),
                ("Datasets", ", ".join(found.datasets)),
                ("Bars", f"{half} to each side: methods whose bars do not overlap differ"),
                ("Friedman", f"p {p_relation(ranks.p_friedman)}"),
                ("Iman and Davenport's F", f"p {p_relation(ranks.p_iman_davenport)}"),
                *((f"Rank of {m}", f"{rank:.2f}") for m, rank in zip(found.methods, ranks.ranks, strict=True)),
                *(("Pitfall", said) for said in pitfalls(found)),
                ("Left out", "; ".join(found.left_out)),
                ("Not drawn", f"{hidden} methods of the worst ranks" if hidden > 0 else ""),
            ),
        )

    def draw(self, canvas: Canvas) -> None:
        methods = self.found.methods[:_MOST_METHODS]
        (axes,) = canvas.panels(1, title=self.title, heights=[2.0 + 0.55 * len(methods)])
        half = self.found.ranks.critical_difference / 2
        how = series(canvas.theme, 0)
        for place, rank in enumerate(self.found.ranks.ranks[: len(methods)]):
            axes.errorbar([rank], [place], xerr=[half], color=how.colour, fmt=how.marker, capsize=3)
        room = min(int(canvas.characters(canvas.panel_width) * 0.45), _NAME)
        canvas.ticks(axes, "y", range(len(methods)), [shortened(method, room) for method in methods])
        axes.set_ylim(len(methods) - 0.4, -0.6)
        canvas.label(axes, "x", "average rank", "", "lower")
