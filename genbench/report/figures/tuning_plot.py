"""The best of k trials over k, a line for each model: what equal tuning of each is worth."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from genbench.errors import NoDataError
from genbench.report.figures.appearance import Series, series
from genbench.report.figures.caption import Caption
from genbench.report.figures.options import MOST_NAMED, Options, Plot, left_out
from genbench.report.numbers import count, with_error
from genbench.report.tuning import ASSUMPTION, FRESH, NOT_INDEPENDENT, OPTIMISTIC, VALIDATION
from genbench.results.tuning import Study, TuningRecord

if TYPE_CHECKING:
    from genbench.report.figures.canvas import Axes, Canvas

_MOST_TICKS = 20


def tuning_plot(record: TuningRecord, options: Options) -> Plot:
    """Return the plot of a tuning; raise `NoDataError` if no trial has a value."""
    options.refuse("tuning", "x", "y")
    if all(value is None for study in record.studies for value in study.running_best):
        raise NoDataError("No trial of this tuning has a value.", "See its tuning.json for what became of them.")
    drawing = _TuningDrawing(record, options)
    return Plot(drawing.caption(), drawing.draw)


class _TuningDrawing:
    def __init__(self, record: TuningRecord, options: Options) -> None:
        self.record, self.options = record, options
        self.studies = [study for study in record.studies if any(value is not None for value in study.running_best)]
        self.shown = self.studies[:MOST_NAMED]
        self.independent = any(study.curve for study in self.shown)
        self.title = f"{record.metric} of the best of k trials, on the validation split"

    def caption(self) -> Caption:
        record = self.record
        budgets = " + ".join(f"{count(trials)} × {count(images)}" for images, trials in record.rungs)
        line = "median of the best of k trials; band: its interval, at least 95 %" if self.independent else ""
        facts = [
            ("Metric", f"{record.metric}, {record.direction} is better"),
            ("Validation split", VALIDATION),
            ("Budget of each model", f"{budgets} images"),
            ("Sampler", record.sampler),
            ("Pruner", record.pruner if record.pruner != "none" else ""),
            ("Line", line or NOT_INDEPENDENT),
            ("Assumption", ASSUMPTION if self.independent else ""),
            ("Selection", OPTIMISTIC),
            ("Final values", FRESH),
        ]
        for study in self.studies:
            space = "; ".join(f"{name}: {values}" for name, values in study.space.items())
            ended = [trial for trial in study.trials if trial.status != "running"]
            without = sum(trial.value is None and trial.status != "pruned" for trial in ended)
            final = "" if study.final is None else f"; final {_final(study)}"
            facts.append((study.model, f"{len(ended)} trials, {without} without a value{final}; space: {space}"))
        facts += [
            (study.model, "no trial has a value, not drawn") for study in record.studies if study not in self.studies
        ]
        return Caption(self.title, (*facts, *left_out(self.studies[MOST_NAMED:], "models")))

    def draw(self, canvas: Canvas) -> None:
        styles = [series(canvas.theme, place) for place in range(len(self.shown))]
        legend = [
            canvas.entry(study.model, how, dashes=how.dashes) for study, how in zip(self.shown, styles, strict=True)
        ]
        (axes,) = canvas.panels(1, title=self.title, legend=legend, heights=[7.0])
        values = [value for study in self.shown for value in self._values(study)]
        for study, how in zip(self.shown, styles, strict=True):
            self._line(axes, study, how)
        most = max(len(study.running_best) for study in self.shown)
        logarithmic = canvas.scale(axes, "x", [1.0, float(most)], self.options.log_x or False)
        if most <= _MOST_TICKS and not logarithmic:
            canvas.ticks(axes, "x", range(1, most + 1), [str(k) for k in range(1, most + 1)])
        axes.set_xlim(0.9 if logarithmic else 0.5, most * 1.1 if logarithmic else most + 0.5)
        axes.scatter([1.0] * len(values), values, s=0)  # the axis shows the ends of the intervals too
        canvas.scale(axes, "y", values, self.options.log_y)
        lowest, highest = axes.get_ylim()
        for study, how in zip(self.shown, styles, strict=True):
            if study.curve:
                self._band(axes, study, how, lowest, highest)
        axes.set_ylim(lowest, highest)
        canvas.label(axes, "x", "number of trials k", "", None)
        name = "median best of k" if self.independent else "best trial so far"
        canvas.label(axes, "y", f"{self.record.metric}, {name}", "", self.record.direction)

    def _values(self, study: Study) -> list[float]:
        """Return what the vertical axis must show."""
        if not study.curve:
            return [value for value in study.running_best if value is not None]
        ends = [end for point in study.curve for end in (point.median, point.low, point.high)]
        return [end for end in ends if end is not None]

    def _line(self, axes: Axes, study: Study, how: Series) -> None:
        medians = [point.median for point in study.curve] if study.curve else study.running_best
        y = [math.nan if value is None else value for value in medians]
        (line,) = axes.plot(
            range(1, len(y) + 1),
            y,
            color=how.colour,
            marker=how.marker,
            markevery=1 if len(y) <= 30 else len(y) // 10,
            drawstyle="default" if study.curve else "steps-post",
        )
        line.set_gid(f"best-{self.shown.index(study)}")
        if how.dashes:
            line.set_dashes(how.dashes)

    def _band(self, axes: Axes, study: Study, how: Series, lowest: float, highest: float) -> None:
        """Draw the interval; where it is open, it reaches the edge of the panel."""
        bounded = [point for point in study.curve if point.low is not None or point.high is not None]
        axes.fill_between(
            [point.trials for point in bounded],
            [lowest if point.low is None else point.low for point in bounded],
            [highest if point.high is None else point.high for point in bounded],
            color=how.colour,
            alpha=0.13,
            linewidth=0,
            zorder=1.5,
        )


def _final(study: Study) -> str:
    final = study.final
    return "" if final is None else f"{with_error(final.mean, final.standard_error)} (mean of {final.seeds} seeds)"
