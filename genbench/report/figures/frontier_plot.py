"""Quality against speed, with error bars, the frontier, and reference rows as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genbench.errors import NoDataError, UsageError, near_miss
from genbench.report.charts.frontier import (
    Frontier,
    FrontierGroup,
    FrontierPoint,
    ReferenceLine,
    frontier,
    quality_columns,
    speed_columns,
)
from genbench.report.charts.row_names import row_names
from genbench.report.figures.appearance import DASHES, Series, series
from genbench.report.figures.caption import TWO_ERRORS, Caption, table_caption
from genbench.report.figures.options import MOST_NAMED, MOST_PANELS, Options, Plot, left_out
from genbench.report.table.comparability import SPEED_COLUMNS, differences
from genbench.report.table.layout import DAGGER, Column, Table, Value

if TYPE_CHECKING:
    from genbench.report.figures.canvas import Axes, Canvas, Entry

_NEAR = 1.0  # a reference is drawn if it is no farther from the points than this many times their range


def frontier_plot(table: Table, options: Options) -> Plot:
    """Return the plot of `options.y` against `options.x`, by default the first metric against images/s.

    Raises `UsageError` for an unknown column, and `NoDataError` if no row has both.
    """
    speed = _find(options.x, speed_columns(table), "speeds and costs")
    quality = _find(options.first_y("frontier"), quality_columns(table), "metrics")
    found = frontier(table, speed, quality)
    if not found.groups:
        raise NoDataError(f"No cell has both {speed.key} and {quality.key}.", "Choose other columns with x and y.")
    drawing = _FrontierDrawing(table, found, options)
    return Plot(drawing.caption(), drawing.draw)


def _find(name: str, columns: Sequence[Column], what: str) -> Column:
    for column in columns:
        if not name or name.strip().lower() == column.key.lower():
            return column
    keys = [column.key for column in columns]
    if not columns:
        raise NoDataError(f"These cells have no {what}.", "Name runs with at least one finished cell.")
    raise UsageError(
        f"There is no '{name}' among the {what}.{near_miss(name, keys)}",
        f"Choose from: {', '.join(keys)}.",
        code="GB602",
    )


class _FrontierDrawing:
    def __init__(self, table: Table, found: Frontier, options: Options) -> None:
        self.table, self.found, self.options = table, found, options
        self.names = row_names(table)
        self.groups = found.groups[:MOST_PANELS]
        points = [point for group in self.groups for point in group.points]
        first = sorted(points, key=lambda point: not point.on_frontier)
        self.named = sorted(point.row for point in first[:MOST_NAMED])
        self.conditions = _conditions(table, found)
        self.references = _references(table, found)

    def caption(self) -> Caption:
        speed, quality = self.found.speed, self.found.quality
        points = [point for group in self.found.groups for point in group.points]
        without = [self.names[row] for row in self.names if row not in {point.row for point in points}]
        notes = [
            ("Filled markers, joined", "rows that no comparable row beats in both quantities"),
            ("Panels", "not comparable with each other: " + "; ".join(self.conditions) if self.conditions[0] else ""),
            *left_out(self.found.groups[MOST_PANELS:], "groups that are not comparable with these"),
            ("References", f"{_said(self.references)}; lines unless far from the points" if self.references else ""),
            ("Rows without both values, not drawn", ", ".join(without)),
        ]
        if len(points) > len(self.named):
            notes.append(("Grey markers", f"{len(points) - len(self.named)} rows without a name in the legend"))
        errors = f"of a speed, its interval over windows; of other means and metrics, {TWO_ERRORS}"
        return table_caption(
            f"{quality.key} against {speed.key}", self.table, (speed, quality), errors=errors, notes=notes
        )

    def draw(self, canvas: Canvas) -> None:
        styles = {row: series(canvas.theme, place) for place, row in enumerate(self.named)}
        best = {point.row for group in self.groups for point in group.points if point.on_frontier}
        legend = [self._entry(canvas, row, styles[row], row in best) for row in self.named]
        shown = [line for line in self.references if any(self._is_near(line, group) for group in self.groups)]
        dashes = {line: DASHES[1 + place % (len(DASHES) - 1)] for place, line in enumerate(shown)}
        pale = Series(canvas.theme.colours.pale, "", ())
        legend += [canvas.entry(_said([line]), pale, dashes=dashes[line], linewidth=1.0) for line in shown]
        off = [line for line in self.references if line not in shown]
        legend += [canvas.entry(f"{_said([line])} (off the axis)", pale, linestyle="none") for line in off]
        title = f"{self.found.quality.key} against {self.found.speed.key}"
        panels = canvas.panels(len(self.groups), title=title, legend=legend, heights=[7.0])
        for axes, group, condition in zip(panels, self.groups, self.conditions, strict=False):
            self._panel(canvas, axes, group, condition, styles, dashes)

    def _entry(self, canvas: Canvas, row: int, how: Series, filled: bool) -> Entry:
        return canvas.entry(
            self.names[row],
            how,
            linestyle="none",
            markerfacecolor=how.colour if filled else canvas.theme.colours.ground,
        )

    def _panel(
        self,
        canvas: Canvas,
        axes: Axes,
        group: FrontierGroup,
        condition: str,
        styles: dict[int, Series],
        dashes: dict[ReferenceLine, tuple[float, ...]],
    ) -> None:
        theme, speed, quality = canvas.theme, self.found.speed, self.found.quality
        references = [line for line in dashes if self._is_near(line, group)]
        best = group.frontier
        axes.plot(
            [point.speed for point in best],
            [point.quality for point in best],
            color=theme.colours.pale,
            linewidth=0.9,
            zorder=1.5,
        )
        for point in group.points:
            self._point(canvas, axes, point, styles.get(point.row))
        for line in references:
            axes.axhline(line.value, color=theme.colours.pale, linewidth=1.0, dashes=dashes[line], zorder=1)
        axes.margins(x=0.12, y=0.12)
        heights = [point.quality for point in group.points]
        log_y = canvas.is_wide(heights) if self.options.log_y is None else self.options.log_y
        canvas.scale(axes, "x", [point.speed for point in group.points], self.options.log_x)
        canvas.scale(axes, "y", [*heights, *(line.value for line in references)], log_y)
        if axes.get_ylim()[0] == 0.0:  # a reference near zero must not lie under the axis
            axes.set_ylim(bottom=-0.03 * axes.get_ylim()[1])
        canvas.label(axes, "x", speed.key, speed.unit, speed.direction)
        canvas.label(axes, "y", quality.key, quality.unit, quality.direction)
        if condition:
            canvas.panel_title(axes, "Not comparable with other panels", condition)

    def _point(self, canvas: Canvas, axes: Axes, point: FrontierPoint, how: Series | None) -> None:
        drawn = how or Series(canvas.theme.colours.pale, "o", ())
        axes.errorbar(
            [point.speed],
            [point.quality],
            xerr=bars(point.speed, point.speed_interval),
            yerr=bars(point.quality, point.quality_interval),
            color=drawn.colour,
            marker=drawn.marker,
            markersize=6.0 if how else 3.5,
            markerfacecolor=drawn.colour if point.on_frontier else canvas.theme.colours.ground,
            markeredgecolor=drawn.colour,
            linestyle="none",
            elinewidth=1.0,
            capsize=2.0 if how else 0.0,
            alpha=1.0 if how else 0.7,
            zorder=3 if how else 2,
        )

    def _is_near(self, line: ReferenceLine, group: FrontierGroup) -> bool:
        """Say whether a reference belongs to the group's data, and does not squeeze its points together."""
        if line.dataset and line.dataset != group.dataset:
            return False
        heights = [point.quality for point in group.points]
        heights += [end for point in group.points for end in point.quality_interval or ()]
        low, high = min(heights), max(heights)
        room = _NEAR * max(high - low, 0.1 * abs(high))
        return low - room <= line.value <= high + room


def bars(value: float, interval: tuple[float, float] | None) -> list[list[float]] | None:
    """Return the lengths of an error bar below and above a value, as matplotlib takes them."""
    if interval is None:
        return None
    return [[max(value - interval[0], 0.0)], [max(interval[1] - value, 0.0)]]


def _conditions(table: Table, found: Frontier) -> list[str]:
    """Return for each group in what it differs from the others; empty if there is one."""
    cells = [[table.rows[group.points[0].row].cells[0]] for group in found.groups]
    of_quality = differences(cells, found.quality.key)
    limited = found.speed.key in SPEED_COLUMNS or found.speed.key.startswith("seconds to ")
    of_speed = differences(cells, "time") if limited else [""] * len(cells)
    both = [", ".join(filter(None, parts)) for parts in zip(of_quality, of_speed, strict=True)]
    if len(both) > 1:
        return [said or f"group {number}" for number, said in enumerate(both, start=1)]
    return [""]


def _references(table: Table, found: Frontier) -> list[ReferenceLine]:
    """Return the references of the shown data; none where protocols differ, since they were measured under one."""
    if any(differences([[table.rows[group.points[0].row].cells[0]] for group in found.groups], found.quality.key)):
        return []
    key = found.quality.key
    marked = {
        row.values["model"].text
        for row in table.rows
        if row.kind == "reference" and DAGGER in row.values.get(key, Value()).marks
    }
    datasets = {"", *(group.dataset for group in found.groups)}
    shown = (line for line in found.references if line.dataset in datasets and line.name not in marked)
    return list(dict.fromkeys(shown))  # several runs may state the same


def _said(lines: Sequence[ReferenceLine]) -> str:
    return ", ".join(dict.fromkeys(f"{line.name} {line.value:.4g}" for line in lines))
