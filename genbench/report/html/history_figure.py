"""TimeSeries over runs as one SVG: a panel for each, with its levels and a mark at each change of level."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import replace

from genbench.gate.history import TimeSeries
from genbench.report.history import change_text, title
from genbench.report.html.svg import label, standalone
from genbench.report.numbers import significant

_WIDTH, _HEIGHT = 760, 190  # of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 24, 54, 34
_MOST_LABELS = 8
_BETTER, _WORSE = "series-2", "series-3"


def figure(found: Sequence[TimeSeries]) -> str:
    """Return the SVG; runs are equally spaced, because what separates them is a change of code, not time."""
    panels = [(0, _HEIGHT * number, _panel(series)) for number, series in enumerate(found)]
    head = "Speed and quality over runs; a change of level is an annotation, not a verdict"
    return standalone(head, _WIDTH, _HEIGHT * len(found), _LEFT, panels)


def inline(series: TimeSeries, most: int) -> str:
    """Return the SVG of one series for a page whose style has the colours; it shows the latest `most` runs."""
    begin = max(0, len(series.points) - most)
    levels = [replace(one, start=max(0, one.start - begin), stop=one.stop - begin) for one in series.levels]
    shown = replace(series, points=series.points[begin:], levels=[one for one in levels if one.stop > 0])
    return (
        f'<svg class="history" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
        f"<title>{html.escape(title(series))}</title>{_panel(shown)}</svg>"
    )


def _panel(series: TimeSeries) -> str:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    values = [point.value for point in series.points]
    low, high = min(values), max(values)
    margin = (high - low) / 8 or abs(high) / 8 or 1.0
    low, high = (max(low - margin, 0.0) if low >= 0 else low - margin), high + margin
    step = (right - _LEFT) / max(len(values), 1)

    def x(index: float) -> float:
        return _LEFT + step * (index + 0.5)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - _TOP)

    parts = [label(_LEFT, 20, title(series), "start", "head"), label(_LEFT, 36, _short(series.conditions), "start")]
    for share in (0.0, 0.5, 1.0):
        value = low + share * (high - low)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(label(_LEFT - 6, y(value) + 4, significant(value, 3), "end"))
    for change in series.changes:
        colour = _BETTER if change.better else _WORSE
        place = (x(change.index - 1) + x(change.index)) / 2
        parts.append(f'<line class="{colour}" x1="{place:.1f}" x2="{place:.1f}" y1="{_TOP - 10}" y2="{bottom}"/>')
        last = place > (_LEFT + right) * 0.6
        text = change_text(change.share, change.better)
        parts.append(label(place + (-5 if last else 5), _TOP - 4, text, "end" if last else "start"))
    for piece in series.levels:
        ends = x(piece.start - 0.4), x(piece.stop - 0.6)
        level = y(piece.level)
        parts.append(f'<line class="floor" x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{level:.1f}" y2="{level:.1f}"/>')
    every = -(-len(values) // _MOST_LABELS)
    for index, point in enumerate(series.points):
        tooltip = f"{point.run} {point.commit} {point.created}: {significant(point.value)}"
        parts.append(
            f'<circle class="series-0 dot" cx="{x(index):.1f}" cy="{y(point.value):.1f}" r="3">'
            f"<title>{html.escape(tooltip)}</title></circle>"
        )
        if index % every == 0:
            parts.append(label(x(index), bottom + 16, (point.commit or point.created).split()[-1][:11], "middle"))
    return "".join(parts)


def _short(conditions: str, most: int = 110) -> str:
    return conditions if len(conditions) <= most else conditions[: most - 1] + "…"
