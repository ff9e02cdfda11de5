"""The waterfalls of an explanation, a panel for each: from protocol to protocol, a bar with its error per choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genbench.errors import NoDataError
from genbench.imagesets.explain.protocol import describe
from genbench.report.figures.caption import TWO_ERRORS, Caption
from genbench.report.figures.options import Plot
from genbench.report.figures.text import shortened
from genbench.report.numbers import significant, with_error

if TYPE_CHECKING:
    from genbench.imagesets.explain.explanation import Explanation, Step, Waterfall
    from genbench.report.figures.canvas import Axes, Canvas

_ERRORS = 2.0
_BAR = 0.62  # of the distance between two bars
_LINE = 0.7  # cm, of a bar
_MARGIN = 0.06  # of the axis, at either end
_LETTERS = 34  # of the name of a bar


def waterfall_plot(found: Explanation) -> Plot:
    """Return the plot of all waterfalls; raise `NoDataError` if there are no steps."""
    drawn = [one for one in found.waterfalls if one.steps]
    if not drawn:
        raise NoDataError(
            "There is no waterfall to draw: no protocol differs from the one used here.",
            "State one that differs, such as --protocol clean-fid, or compare all tools with --extractor inception.",
        )
    title = f"{found.metric}: which choice of the protocol moves it by how much"

    def draw(canvas: Canvas) -> None:
        heights = [1.6 + _LINE * (len(one.steps) + 2) for one in drawn]
        panels = canvas.panels(len(drawn), title=title, heights=heights, least_width=12.0)
        for number, (axes, one) in enumerate(zip(panels, drawn, strict=True)):
            _panel(canvas, axes, one, number, found.metric)

    return Plot(_caption(title, found, drawn), draw)


def _caption(title: str, found: Explanation, drawn: list[Waterfall]) -> Caption:
    facts = [
        ("Reference", found.real.title),
        ("Images", found.fake.title),
        ("Error bars", f"of a step, {TWO_ERRORS}"),
        ("Horizontal axis", "does not begin at zero"),
    ]
    for one in drawn:
        steps = "; ".join(f"{_name(step)}: {with_error(step.effect, step.standard_error)}" for step in one.steps)
        facts.append(
            (f"{one.start} ({significant(one.start_value)}) to {one.end} ({significant(one.end_value)})", steps)
        )
    return Caption(title, (*facts, *(("Note", warning) for warning in found.warnings)))


def _panel(canvas: Canvas, axes: Axes, one: Waterfall, number: int, metric: str) -> None:
    theme = canvas.theme
    reached = one.start_value
    ends = [reached]
    axes.plot(reached, 0, color=theme.colours.ink, marker="o", linestyle="")
    for place, step in enumerate(one.steps, 1):
        colour = theme.colours.bad if step.effect > 0 else theme.colours.good
        error = _ERRORS * step.standard_error if step.standard_error is not None else None
        bars = axes.barh(
            place, step.effect, left=reached, height=_BAR, color=colour, xerr=error, ecolor=theme.colours.ink, capsize=2
        )
        bars[0].set_gid(f"step-{number}-{place}")
        axes.plot([reached, reached], [place - 1, place], color=theme.colours.ink, linewidth=0.6, marker="")
        reached += step.effect
        ends += [reached, reached - (error or 0.0), reached + (error or 0.0)]
    last = len(one.steps) + 1
    axes.plot([reached, reached], [last - 1, last], color=theme.colours.ink, linewidth=0.6, marker="")
    axes.plot(reached, last, color=theme.colours.ink, marker="o", linestyle="")
    margin = _MARGIN * (max(ends) - min(ends))
    axes.set_xlim(min(ends) - margin, max(ends) + margin)
    names = [one.start, *map(_name, one.steps), one.end]
    canvas.ticks(axes, "y", range(last + 1), [shortened(name, _LETTERS) for name in names])
    axes.set_ylim(last + 0.6, -0.6)
    canvas.label(axes, "x", metric, "", "lower")
    canvas.panel_title(axes, f"{one.start} to {one.end}", with_error(one.difference, one.standard_error))


def _name(step: Step) -> str:
    return f"{step.choice} {describe(step.after)}"
