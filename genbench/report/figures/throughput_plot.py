"""Training speed: each row with its interval, and below it the speed of each window."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genbench.errors import NoDataError
from genbench.report.charts.curves import X_AXES
from genbench.report.charts.row_names import row_names
from genbench.report.charts.speed_groups import SPEED, SpeedGroup, WindowSpeeds, speed_groups
from genbench.report.figures.appearance import Series, series
from genbench.report.figures.caption import TWO_ERRORS, Caption, table_caption
from genbench.report.figures.curves_plot import find_axis
from genbench.report.figures.frontier_plot import bars
from genbench.report.figures.options import MOST_NAMED, MOST_PANELS, Options, Plot, left_out
from genbench.report.figures.text import shortened
from genbench.report.table.layout import Table

if TYPE_CHECKING:
    from genbench.report.figures.canvas import Axes, Canvas

_MOST_ROWS = 40  # of one panel
_NAME = 30  # letters of a row's name beside its point


def throughput_plot(table: Table, options: Options) -> Plot:
    """Return the plot of images/s; `options.x` is the axis of the windows. Raises `NoDataError` without a speed."""
    options.refuse("throughput", "y")
    axis = find_axis(options.x)
    groups = speed_groups(table)
    if not groups:
        raise NoDataError("No cell has measured a speed.", "Name runs with at least one finished cell.")
    drawing = _SpeedDrawing(table, groups, axis, options)
    return Plot(drawing.caption(), drawing.draw)


class _SpeedDrawing:
    def __init__(self, table: Table, groups: list[SpeedGroup], axis: str, options: Options) -> None:
        self.table, self.axis, self.options = table, axis, options
        self.groups, self.others = groups[: MOST_PANELS // 2], groups[MOST_PANELS // 2 :]
        self.names = row_names(table)
        rows = [one.row for group in self.groups for one in group.rows]
        self.named = rows[:MOST_NAMED]

    def caption(self) -> Caption:
        speed = [column for column in self.table.columns if column.key == SPEED]
        with_speed = {one.row for group in self.groups for one in group.rows}
        unknown = [self.names[one.row] for group in self.groups for one in group.rows if one.value is None]
        conditions = [group.condition for group in self.groups if group.condition]
        hidden = sum(max(len(group.rows) - _MOST_ROWS, 0) for group in self.groups)
        notes = [
            ("Windows", "images/s of the steps timed together; pale and hollow: warm-up, which does not count"),
            ("Interval without a point", ", ".join(unknown) and f"no speed is known well enough: {', '.join(unknown)}"),
            ("Panels", "not comparable with each other: " + "; ".join(conditions) if conditions else ""),
            (
                "Rows without a speed, not drawn",
                ", ".join(self.names[row] for row in self.names if row not in with_speed),
            ),
            ("Not drawn", f"{hidden} more rows of large groups" if hidden else ""),
            *left_out(self.others, "groups that are not comparable with these"),
        ]
        errors = f"of one training, the distribution-free interval of the median over windows; over seeds, {TWO_ERRORS}"
        return table_caption("Training speed in images/s", self.table, speed, errors=errors, notes=notes)

    def draw(self, canvas: Canvas) -> None:
        styles = {row: series(canvas.theme, place) for place, row in enumerate(self.named)}
        longest = max(min(len(group.rows), _MOST_ROWS) for group in self.groups)
        height = max(5.0, 2.0 + 0.5 * longest)
        least = max(7.0, canvas.look.width / 2)  # the two panels of a group side by side, or one below the other
        legend = [canvas.entry(self.names[row], how, dashes=how.dashes) for row, how in styles.items()]
        made = canvas.panels(
            2 * len(self.groups), title="Training speed", legend=legend, heights=[height, 5.0], least_width=least
        )
        for place, group in enumerate(self.groups):
            title = "Not comparable with other panels" if group.condition else ""
            for axes in made[2 * place : 2 * place + 2]:
                canvas.panel_title(axes, title, group.condition)
            self._rows(canvas, made[2 * place], group, styles)
            self._windows(canvas, made[2 * place + 1], group, styles)

    def _rows(self, canvas: Canvas, axes: Axes, group: SpeedGroup, styles: dict[int, Series]) -> None:
        rows = group.rows[:_MOST_ROWS]
        values: list[float] = []
        for place, one in enumerate(rows):
            how = styles.get(one.row, Series(canvas.theme.colours.pale, "o", ()))
            if one.interval is not None:
                axes.plot(one.interval, [place, place], color=how.colour, linewidth=1.3, marker="|", markersize=5)
                values += one.interval
            if one.value is not None:
                axes.errorbar(
                    [one.value], [place], xerr=bars(one.value, one.interval), color=how.colour, fmt=how.marker
                )
                values.append(one.value)
        canvas.scale(axes, "x", values, self.options.log_x)
        if not self.options.log_x and axes.get_xscale() == "linear":
            axes.set_xlim(left=0.0, right=1.08 * max(values, default=1.0))  # lengths from zero can be compared
        room = min(int(canvas.characters(canvas.panel_width) * 0.45), _NAME)
        names = [shortened(self.names[one.row], room) for one in rows]
        canvas.ticks(axes, "y", range(len(rows)), names)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        canvas.label(axes, "x", SPEED, "", "higher")

    def _windows(self, canvas: Canvas, axes: Axes, group: SpeedGroup, styles: dict[int, Series]) -> None:
        speeds: list[float] = []
        for one in group.rows:
            how = styles.get(one.row, Series(canvas.theme.colours.pale, "", ()))
            for windows in one.windows:
                self._cell(canvas, axes, windows, how)
                speeds += windows.speeds
        if not speeds:
            canvas.note(axes, "no window was recorded")
            return
        canvas.scale(axes, "x", [0.0], False)
        if not canvas.scale(axes, "y", speeds, self.options.log_y):
            axes.set_ylim(0.0, 1.08 * max(speeds))
        canvas.label(axes, "x", X_AXES[self.axis], "", None)
        canvas.label(axes, "y", "images/s per window", "", "higher")

    def _cell(self, canvas: Canvas, axes: Axes, windows: WindowSpeeds, how: Series) -> None:
        x, y = windows.x(self.axis), windows.speeds
        timed = windows.warmup.index(False) if False in windows.warmup else len(x)
        every = max(len(x) // 12, 1)
        (line,) = axes.plot(
            x[timed:], y[timed:], color=how.colour, marker=how.marker, markersize=3, markevery=every, lw=1.0
        )
        if how.dashes:
            line.set_dashes(how.dashes)
        start = timed + 1 if timed < len(x) else timed
        axes.plot(
            x[:start],
            y[:start],
            color=how.colour,
            linewidth=0.7,
            marker=how.marker,
            markersize=3,
            markerfacecolor=canvas.theme.colours.ground,
            alpha=0.55,
            zorder=1.8,
        )
