"""Speed and quality over runs: a panel for each series, with its levels and a mark at each change of level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from genbench.errors import NoDataError, UsageError, near_miss
from genbench.gate.history import Point, TimeSeries
from genbench.gate.judge import SPEED
from genbench.report.figures.appearance import series as style_of
from genbench.report.figures.caption import TWO_ERRORS, Caption
from genbench.report.figures.options import Options, Plot, left_out
from genbench.report.history import change_text, title

if TYPE_CHECKING:
    from genbench.report.figures.canvas import Axes, Canvas

_MOST_SERIES = 48
_TITLE = "Speed and quality over runs"
_NO_VERDICT = "a change of level is an annotation, not a verdict"


def history_plot(found: Sequence[TimeSeries], options: Options) -> Plot:
    """Return the plot of these series, or of those of the quantities `options.y`.

    Raises `UsageError` with the nearest name for an unknown quantity, and `NoDataError` without any series.
    """
    options.refuse("history", "x", "log_x")
    known = list(dict.fromkeys(one.quantity for one in found))
    for name in options.y if found else ():
        if name not in known:
            raise UsageError(
                f"No run has the quantity '{name}'.{near_miss(name, known)}",
                f"Quantities: {', '.join(known)}.",
                code="GB602",
            )
    shown = [one for one in found if not options.y or one.quantity in options.y]
    if not shown:
        raise NoDataError("These runs have no measurements.", "Name runs with at least one successful cell.")
    drawing = _HistoryDrawing(shown, options)
    return Plot(drawing.caption(), drawing.draw)


class _HistoryDrawing:
    def __init__(self, found: Sequence[TimeSeries], options: Options) -> None:
        self.series, self.others, self.options = found[:_MOST_SERIES], found[_MOST_SERIES:], options

    def caption(self) -> Caption:
        facts = [
            ("Points", "one run each, at equal distances: what separates runs is a change of code, not time"),
            ("Values", "means over training seeds; of speeds, the geometric mean"),
            ("Error bars", f"{TWO_ERRORS}: over seeds, or of the measurement where a run has one seed"),
            ("Dashed", "the median of the runs of one level"),
            ("Vertical lines", f"a change of level; {_NO_VERDICT}"),
            ("Panels", "other settings, machines or protocols: not comparable with each other"),
            *left_out(self.others, "series"),
        ]
        for one in self.series:
            seeds = sorted({point.seeds for point in one.points})
            changes = ", ".join(f"{one.points[c.index].run}: {change_text(c.share, c.better)}" for c in one.changes)
            runs = f"{len(one.points)} runs, {one.points[0].run} to {one.points[-1].run}"
            each = f"{' to '.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} seeds each"
            facts.append((title(one), f"{runs}, {each}; {one.conditions}; changes: {changes or 'none found'}"))
        return Caption(_TITLE, tuple(facts))

    def draw(self, canvas: Canvas) -> None:
        text = f"{_TITLE}; {_NO_VERDICT}"
        made = canvas.panels(len(self.series), title=text, heights=[5.2], least_width=8.0)
        for number, (axes, one) in enumerate(zip(made, self.series, strict=True)):
            self._panel(canvas, axes, one, number)

    def _panel(self, canvas: Canvas, axes: Axes, one: TimeSeries, number: int) -> None:
        theme = canvas.theme
        how = style_of(theme, 0)
        values = [point.value for point in one.points]
        axes.plot(
            range(len(values)), values, color=how.colour, marker="o", markersize=4, linewidth=0.5, gid=f"runs-{number}"
        )
        reach = [2 * (point.error or 0.0) for point in one.points]
        axes.errorbar(range(len(values)), values, yerr=reach, fmt="none", ecolor=how.colour, elinewidth=0.9, capsize=2)
        for piece in one.levels:
            ends = [piece.start - 0.4, piece.stop - 0.6]
            axes.plot(ends, [piece.level] * 2, color=theme.colours.pale, linewidth=1.0, dashes=(4, 2), zorder=1.5)
        for change in one.changes:
            place = change.index - 0.5
            colour = theme.colours.good if change.better else theme.colours.bad
            last = place > 0.6 * len(values)
            axes.axvline(place, color=colour, linewidth=1.2, linestyle="-" if change.better else "-.")
            axes.annotate(
                change_text(change.share, change.better),
                (place, 1),
                xycoords=("data", "axes fraction"),
                xytext=(-3 if last else 3, 1),
                textcoords="offset points",
                ha="right" if last else "left",
                va="bottom",
                fontsize=theme.font_size - 1,
                color=colour,
                annotation_clip=False,
            )
        canvas.scale(axes, "y", values, self.options.log_y or False)
        ends = [value + side * error for value, error in zip(values, reach, strict=True) for side in (-1, 1)]
        low, high = min(ends), max(ends)
        room = (high - low) / 8 or abs(high) / 8 or 1.0
        if axes.get_yscale() == "linear":
            axes.set_ylim(max(low - room, 0.0) if min(values) >= 0 else low - room, high + room)
        names = [_when(point) for point in one.points]
        room = max(int(canvas.characters(canvas.panel_width - 2.0) / (max(map(len, names)) + 2)), 1)
        every = -(-len(values) // room)
        shown = range(0, len(values), every)
        canvas.ticks(axes, "x", shown, [names[n] for n in shown])
        axes.set_xlim(-0.6, len(values) - 0.4)
        canvas.label(axes, "x", "commit" if one.points[0].commit else "day", "", None)
        canvas.label(axes, "y", one.quantity, "images/s" if one.quantity == SPEED else "", one.direction)
        canvas.panel_title(axes, one.cell, one.conditions, above=13.0 if one.changes else 4.0)


def _when(point: Point) -> str:
    """Return the short commit of a run, with a plus sign for uncommitted changes, or its day."""
    commit = point.commit.split()[-1] if point.commit.split() else ""
    return f"{commit.rstrip('+')[:7]}{'+' if commit.endswith('+') else ''}" or point.created[:10]
