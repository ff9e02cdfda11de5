"""A quantity against a swept setting: a line for rows that differ in nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genbench.errors import NoDataError
from genbench.report.charts.swept_quantity import (
    SweptPanel,
    SweptPoint,
    SweptQuantity,
    find_quantity,
    find_swept,
    swept_quantity,
)
from genbench.report.figures.appearance import Series, series
from genbench.report.figures.caption import TWO_ERRORS, Caption, table_caption
from genbench.report.figures.frontier_plot import bars
from genbench.report.figures.options import MOST_NAMED, MOST_PANELS, Options, Plot, left_out
from genbench.report.figures.text import tick
from genbench.report.table.layout import Table

if TYPE_CHECKING:
    from genbench.report.figures.canvas import Axes, Canvas

_MOST_TICKS = 8


def scaling_plot(table: Table, swept: Sequence[str], options: Options) -> Plot:
    """Return the plot of `options.y` against the setting `options.x`, by default images/s against what was swept.

    Raises `UsageError` for an unknown name or if no setting differs, and `NoDataError` if no row has a value.
    """
    setting = find_swept(table, options.x, swept)
    quantity = find_quantity(table, options.first_y("scaling"))
    found = swept_quantity(table, setting, quantity, swept)
    if not found.panels:
        raise NoDataError(f"No cell has a value of {quantity.key}.", "Choose another quantity with y.")
    drawing = _SweepDrawing(table, found, options)
    return Plot(drawing.caption(), drawing.draw)


class _SweepDrawing:
    def __init__(self, table: Table, found: SweptQuantity, options: Options) -> None:
        self.table, self.found, self.options = table, found, options
        self.panels, self.others = found.panels[:MOST_PANELS], found.panels[MOST_PANELS:]
        self.names = list(dict.fromkeys(line.name for panel in self.panels for line in panel.lines))

    def caption(self) -> Caption:
        setting, quantity = self.found.setting, self.found.quantity
        conditions = [panel.condition for panel in self.panels if panel.condition]
        grey = len(self.names) - MOST_NAMED
        notes = [
            ("Lines", f"rows that differ only in {setting.key}"),
            (f"Changed together with {setting.key}", ", ".join(self.found.follows)),
            ("Panels", "not comparable with each other: " + "; ".join(conditions) if conditions else ""),
            ("Grey lines", f"{grey} lines without a name in the legend" if grey > 0 else ""),
            *left_out(self.others, "groups that are not comparable with these"),
        ]
        title = f"{quantity.key} against {setting.key}"
        errors = f"of a speed, its interval over windows; of other means and metrics, {TWO_ERRORS}"
        return table_caption(title, self.table, (quantity,), errors=errors, notes=notes)

    def draw(self, canvas: Canvas) -> None:
        styles = {name: series(canvas.theme, place) for place, name in enumerate(self.names[:MOST_NAMED])}
        legend = [canvas.entry(name, how, dashes=how.dashes) for name, how in styles.items()]
        title = f"{self.found.quantity.key} against {self.found.setting.key}"
        made = canvas.panels(len(self.panels), title=title, legend=legend, heights=[6.5])
        for axes, panel in zip(made, self.panels, strict=True):
            self._panel(canvas, axes, panel, styles)

    def _panel(self, canvas: Canvas, axes: Axes, panel: SweptPanel, styles: dict[str, Series]) -> None:
        points = [point for line in panel.lines for point in line.points]
        categories = list(dict.fromkeys(str(point.at) for point in points if isinstance(point.at, str)))

        def place(point: SweptPoint) -> float:
            return float(categories.index(str(point.at))) if categories else float(point.at)

        for line in panel.lines:
            how = styles.get(line.name, Series(canvas.theme.colours.pale, "", ()))
            x, y = [place(point) for point in line.points], [point.value for point in line.points]
            (drawn,) = axes.plot(x, y, color=how.colour, marker=how.marker)
            if how.dashes:
                drawn.set_dashes(how.dashes)
            for point in line.points:
                if (lengths := bars(point.value, point.interval)) is not None and line.name in styles:
                    axes.errorbar([place(point)], [point.value], yerr=lengths, fmt="none", ecolor=how.colour, capsize=2)
        self._scales(canvas, axes, [place(point) for point in points], categories)
        heights = [point.value for point in points]
        canvas.scale(axes, "y", heights, self.options.log_y)
        setting, quantity = self.found.setting, self.found.quantity
        together = "".join(f" (with {name})" for name in self.found.follows)
        canvas.label(axes, "x", setting.key + together, "", None)
        canvas.label(axes, "y", quantity.key, quantity.unit, quantity.direction)
        if panel.condition:
            canvas.panel_title(axes, "Not comparable with other panels", panel.condition)

    def _scales(self, canvas: Canvas, axes: Axes, places: list[float], categories: list[str]) -> None:
        """Put a tick at each value of the setting; swept values usually double, so positive ones are logarithmic."""
        values = sorted(set(places))
        log = self.options.log_x
        if categories:
            canvas.ticks(axes, "x", range(len(categories)), categories)
            axes.set_xlim(-0.5, len(categories) - 0.5)
            return
        doubling = len(values) > 1 and values[0] > 0 and values[-1] / values[0] >= 4
        canvas.scale(axes, "x", values, doubling if log is None else log)
        if len(values) <= _MOST_TICKS:
            canvas.ticks(axes, "x", values, [tick(value) for value in values])
        axes.margins(x=0.08)
