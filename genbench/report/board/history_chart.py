"""One time series as SVG inside a page, whose style has the colours: works without scripts, in both themes."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import replace

from genbench.gate.history import Point, TimeSeries
from genbench.report.history import change_text, title
from genbench.report.numbers import significant
from genbench.report.table.layout import clean

_WIDTH, _HEIGHT = 760, 170
_LEFT, _RIGHT, _TOP, _BOTTOM = 72, 24, 28, 34
_MOST_LABELS = 8


def history_chart(series: TimeSeries, most: int) -> str:
    """Return the SVG of a series with its levels and a mark at each change of level; it shows the latest `most` runs.

    Runs are equally spaced, because what separates them is a change of code, not time.
    """
    begin = max(0, len(series.points) - most)
    levels = [replace(one, start=max(0, one.start - begin), stop=one.stop - begin) for one in series.levels]
    shown = replace(series, points=series.points[begin:], levels=[one for one in levels if one.stop > 0])
    name = html.escape(clean(title(series)))
    return (
        f'<svg class="history" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{name}">'
        f"<title>{name}</title>{''.join(_parts(shown))}</svg>"
    )


def _parts(series: TimeSeries) -> Sequence[str]:
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

    parts = []
    for share in (0.0, 0.5, 1.0):
        value = low + share * (high - low)
        parts.append(_line("grid", _LEFT, y(value), right, y(value)))
        parts.append(_text(_LEFT - 6, y(value) + 4, significant(value, 3), "end"))
    for change in series.changes:
        place, is_late = (x(change.index - 1) + x(change.index)) / 2, x(change.index) > (_LEFT + right) * 0.6
        parts.append(_line("better" if change.better else "worse", place, _TOP - 10, place, bottom))
        text = change_text(change.share, change.better)
        parts.append(_text(place + (-5 if is_late else 5), _TOP - 4, text, "end" if is_late else "start"))
    parts += [
        _line("level", x(piece.start - 0.4), y(piece.level), x(piece.stop - 0.6), y(piece.level))
        for piece in series.levels
    ]
    every = -(-len(values) // _MOST_LABELS)
    for index, point in enumerate(series.points):
        about = html.escape(clean(f"{point.run} {point.commit} {point.created}: {significant(point.value)}"))
        parts.append(f'<circle cx="{x(index):.1f}" cy="{y(point.value):.1f}" r="3"><title>{about}</title></circle>')
        if index % every == 0:
            parts.append(_text(x(index), bottom + 16, _label(point), "middle"))
    return parts


def _label(point: Point) -> str:
    return clean((point.commit or point.created).split()[-1][:11])


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'
