"""Small inline SVG figures: curves with axes and legend, and the speed of each window."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TypeGuard

from genbench.report.html.style import COLOURS
from genbench.report.html.svg import label
from genbench.report.numbers import count
from genbench.results.schema import CurvePoint, Window

_WIDTH, _HEIGHT = 560, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 28, 28, 34
_LEGEND_LINE = 16
_DIVERGED = 1e100  # a larger term is also a gap: no axis can show it
_SMALLEST = 1e-290  # ticks of a smaller range would be equal as floats
_MOST_POINTS = 400  # more are indistinguishable at this width


def curves(points: Sequence[CurvePoint]) -> str:
    """Return an SVG of every term over the real images consumed; null is a gap. Empty without points."""
    points = points[:: max(1, math.ceil(len(points) / _MOST_POINTS))]
    names = list(dict.fromkeys(name for point in points for name in point.terms))
    known = [value for point in points for value in point.terms.values() if _drawable(value)]
    if not known:
        return ""
    x_axis = _Axis(0, max(point.images for point in points), _LEFT, _WIDTH - _RIGHT)
    y_axis = _Axis(min(known), max(known), _HEIGHT - _BOTTOM, _TOP)
    parts = [_frame(x_axis, y_axis, "images")]
    for number, name in enumerate(names):
        colour = f"series-{number % COLOURS}"
        runs = _unbroken([(point.images, point.terms.get(name)) for point in points])
        for run in runs:
            places = [f"{x_axis.place(x):.1f},{y_axis.place(y):.1f}" for x, y in run]
            if len(run) == 1:
                x, y = places[0].split(",")
                parts.append(f'<circle class="{colour} dot" cx="{x}" cy="{y}" r="2"/>')
            else:
                parts.append(f'<polyline class="{colour}" points="{" ".join(places)}"/>')
    legend, lines = _legend(names)
    below = _LEGEND_LINE * (lines - 1)
    chart = f'<g transform="translate(0 {below})">{"".join(parts)}</g>'
    return _svg("Curves over images", [legend, chart], _HEIGHT + below)


def window_strip(windows: Sequence[Window]) -> str:
    """Return an SVG of images per second, one bar per window, warm-up pale. Empty without windows."""
    measured = [(window, window.images / window.seconds) for window in windows if window.seconds > 0]
    if not measured:
        return ""
    height = 120
    fastest = max(rate for _, rate in measured)
    if not 0 < fastest < math.inf:
        return ""
    y_axis = _Axis(0, fastest, height - _BOTTOM, _TOP)
    step = (_WIDTH - _RIGHT - _LEFT) / len(measured)
    parts = [_tick_y(y_axis, value) for value in (0.0, float(f"{fastest:.3g}"))]
    for number, (window, rate) in enumerate(measured):
        top = y_axis.place(rate)
        bar = max(height - _BOTTOM - top, 0)
        kind = "bar warmup" if window.warmup else "bar"
        what = f"step {count(window.step)}: {count(rate)} images/s{' (warm-up)' if window.warmup else ''}"
        parts.append(
            f'<rect class="{kind}" x="{_LEFT + number * step:.2f}" y="{top:.1f}"'
            f' width="{max(step - 1, 0.5):.2f}" height="{bar:.1f}"><title>{what}</title></rect>'
        )
    parts.append(label(_WIDTH - _RIGHT, height - 10, "training windows in order; pale: warm-up", "end"))
    parts.append(label(_LEFT, 16, "images/s", "start"))
    return _svg("Images per second of each window", parts, height)


class _Axis:
    """A linear map from values to positions; an empty range is widened."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        if not high - low > _SMALLEST:
            half = abs(low) / 2 if abs(low) > _SMALLEST else 0.5
            low, high = low - half, high + half
        self.low, self.high, self.start, self.end = low, high, start, end

    def place(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values inside the range: steps of 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * next(factor for factor in (1, 2, 5, 10) if factor * power >= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [number * step for number in range(first, last + 1)]


def _drawable(value: float | None) -> TypeGuard[float]:
    return value is not None and abs(value) < _DIVERGED


def _unbroken(points: Sequence[tuple[float, float | None]]) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if _drawable(y):
            runs[-1].append((x, y))
        else:
            runs.append([])
    return [run for run in runs if run]


def _frame(x_axis: _Axis, y_axis: _Axis, x_name: str) -> str:
    bottom = _HEIGHT - _BOTTOM
    parts = [_tick_y(y_axis, value) for value in y_axis.ticks()]
    parts += [label(x_axis.place(value), bottom + 16, count(value), "middle") for value in x_axis.ticks()]
    parts.append(label(_WIDTH - _RIGHT, _HEIGHT - 4, x_name, "end"))
    return "".join(parts)


def _tick_y(axis: _Axis, value: float) -> str:
    place = axis.place(value)
    line = f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{place:.1f}" y2="{place:.1f}"/>'
    return line + label(_LEFT - 6, place + 4, f"{value:,.6g}", "end")


def _legend(names: Sequence[str]) -> tuple[str, int]:
    """Return the legend, broken into lines that fit, and how many lines it has."""
    parts, x, line = [], float(_LEFT), 0
    for number, name in enumerate(names):
        width = 34 + 6.6 * len(name)
        if x > _LEFT and x + width > _WIDTH:
            x, line = float(_LEFT), line + 1
        colour, y = f"series-{number % COLOURS}", 12 + _LEGEND_LINE * line
        parts.append(f'<line class="{colour}" x1="{x:.0f}" x2="{x + 16:.0f}" y1="{y}" y2="{y}"/>')
        parts.append(label(x + 21, y + 4, name, "start"))
        x += width
    return "".join(parts), line + 1


def _svg(title: str, parts: Sequence[str], height: int) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{html.escape(title)}</title>{''.join(parts)}</svg>"
    )
