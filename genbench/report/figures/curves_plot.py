"""Curves of training: a panel for each quantity, a line for each row, seeds as mean and band."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genbench.errors import NoDataError, UsageError, near_miss
from genbench.report.charts.curve_panels import CurvePanel, curve_panels
from genbench.report.charts.curves import LOSSES, METRICS, X_AXES, Curve
from genbench.report.charts.row_names import row_names
from genbench.report.figures.appearance import Series, series
from genbench.report.figures.caption import TWO_ERRORS, Caption, table_caption
from genbench.report.figures.options import MOST_NAMED, MOST_PANELS, Options, Plot, left_out
from genbench.report.table.layout import Table

if TYPE_CHECKING:
    from genbench.report.figures.canvas import Axes, Canvas

_ERRORS = 2.0
_MOST_POINTS = 500  # of a line; more are indistinguishable


def curves_plot(table: Table, options: Options) -> Plot:
    """Return the plot of the quantities `options.y` over images, steps or seconds.

    Raises `UsageError` for an unknown name, and `NoDataError` if nothing was recorded.
    """
    axis = find_axis(options.x)
    panels = curve_panels(table, options.y)
    if not panels:
        raise NoDataError("These cells have no curves.", "Name runs with at least one finished cell.")
    drawing = _CurveDrawing(table, panels, axis, options)
    return Plot(drawing.caption(), drawing.draw)


def find_axis(name: str) -> str:
    """Return the name of a horizontal axis of training; raise `UsageError` for another."""
    if (name or "images") not in X_AXES:
        raise UsageError(
            f"Unknown x '{name}'.{near_miss(name, X_AXES)}", f"Choose from: {', '.join(X_AXES)}.", code="GB101"
        )
    return name or "images"


class _CurveDrawing:
    def __init__(self, table: Table, panels: list[CurvePanel], axis: str, options: Options) -> None:
        self.table, self.axis, self.options = table, axis, options
        self.panels, self.others = panels[:MOST_PANELS], panels[MOST_PANELS:]
        self.names = row_names(table)
        rows = sorted({line.row for panel in self.panels for line in panel.lines})
        self.named = rows[:MOST_NAMED]
        self.grey = rows[MOST_NAMED:]

    def caption(self) -> Caption:
        pooled = any(curve.seeds > 1 for panel in self.panels for line in panel.lines for curve in line.curves)
        single = any(len(line.curves) > 1 for panel in self.panels for line in panel.lines)
        errors = f"of metrics of a single training, {TWO_ERRORS}, for the noise of sampling only"
        if pooled:
            errors = f"bands: {TWO_ERRORS} of the mean over training seeds; bars: {errors}"
        quantities = list(dict.fromkeys(panel.quantity for panel in self.panels))
        columns = [column for column in self.table.columns if column.key in quantities]
        conditions = [f"{panel.quantity}: {panel.condition}" for panel in self.panels if panel.condition]
        others = [self.names[row] for row in self.names if row not in (*self.named, *self.grey)]
        notes = [
            ("Horizontal axis", f"{X_AXES[self.axis]}; loss terms are means over a window"),
            ("Panels of one quantity are not comparable with each other", "; ".join(conditions)),
            ("Seeds that share no points", "drawn one by one" if single else ""),
            ("Gaps", "values that are not finite"),
            ("Grey lines", f"{len(self.grey)} rows without a name in the legend" if self.grey else ""),
            ("Rows without these curves, not drawn", ", ".join(others)),
            *left_out(self.others, "panels"),
        ]
        title = f"{', '.join(quantities)} during training"
        return table_caption(title, self.table, columns, errors=errors, notes=notes)

    def draw(self, canvas: Canvas) -> None:
        styles = {row: series(canvas.theme, place) for place, row in enumerate(self.named)}
        legend = [canvas.entry(self.names[row], how, dashes=how.dashes) for row, how in styles.items()]
        alone = len(self.panels) == 1
        made = canvas.panels(
            len(self.panels),
            title="During training",
            legend=legend,
            heights=[6.5 if alone else 5.0],
        )
        for axes, panel in zip(made, self.panels, strict=True):
            self._panel(canvas, axes, panel, styles)

    def _panel(self, canvas: Canvas, axes: Axes, panel: CurvePanel, styles: dict[int, Series]) -> None:
        from genbench.report.figures.canvas import is_drawable

        curves = [(line.row, curve.thinned(_MOST_POINTS)) for line in panel.lines for curve in line.curves]
        known = [value for _, curve in curves for value in curve.values if value is not None and is_drawable(value)]
        for row, curve in sorted(curves, key=lambda drawn: drawn[0] in styles):
            self._curve(canvas, axes, curve, styles.get(row))
        if known:
            canvas.scale(
                axes, "x", [place for _, curve in curves for place in curve.x(self.axis)], self.options.log_x or False
            )
            usual = None if panel.kind == METRICS else False
            canvas.scale(axes, "y", known, usual if self.options.log_y is None else self.options.log_y)
        canvas.label(axes, "x", X_AXES[self.axis], "", None)
        unit = curves[0][1].unit if curves else ""
        name = f"{panel.quantity} loss" if panel.kind == LOSSES else panel.quantity
        canvas.label(axes, "y", name, unit, panel.direction)
        title = "Not comparable across panels" if panel.condition and panel.kind == METRICS else ""
        canvas.panel_title(axes, title, panel.condition)
        if not known:
            canvas.note(axes, "no finite value was recorded")

    def _curve(self, canvas: Canvas, axes: Axes, curve: Curve, how: Series | None) -> None:
        from genbench.report.figures.canvas import is_drawable

        drawn = how or Series(canvas.theme.colours.pale, "", ())
        x = list(curve.x(self.axis))
        y = [value if value is not None and is_drawable(value) else float("nan") for value in curve.values]
        few = len(x) <= 40
        (line,) = axes.plot(
            x,
            y,
            color=drawn.colour,
            marker=drawn.marker,
            markersize=3.5,
            markevery=1 if few else max(len(x) // 8, 1),
            alpha=1.0 if how else 0.5,
            linewidth=1.3 if how else 0.7,
            zorder=3 if how else 2,
        )
        if drawn.dashes:
            line.set_dashes(drawn.dashes)
        errors = [error if error is not None else float("nan") for error in curve.errors]
        if not errors or how is None:
            return
        low = [value - _ERRORS * error for value, error in zip(y, errors, strict=True)]
        high = [value + _ERRORS * error for value, error in zip(y, errors, strict=True)]
        if curve.seeds > 1:
            axes.fill_between(x, low, high, color=drawn.colour, alpha=0.18, linewidth=0, zorder=1.5)
        else:
            lengths = [_ERRORS * error for error in errors]
            axes.errorbar(x, y, yerr=lengths, fmt="none", ecolor=drawn.colour, elinewidth=0.9, capsize=1.5, zorder=2.5)
