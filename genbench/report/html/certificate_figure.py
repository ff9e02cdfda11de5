"""The ladders of a certificate as one SVG: a panel for each, on a shared logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

from genbench.gate.extractor_certificate import Certificate, CorruptionSeries
from genbench.report.html.svg import label, standalone

_WIDTH, _HEIGHT = 350, 230  # of a panel
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 50, 40
_DECADES = 6  # below the largest value; smaller values are drawn at the bottom
_ERRORS = 2.0  # standard errors that a bar extends to each side


def certificate_figure(certificate: Certificate) -> str:
    """Return the SVG: distance over severity, with bars of two standard errors; dashed: unchanged images."""
    values = [rung.value for ladder in certificate.ladders for rung in ladder.rungs]
    values = [value for value in values if value > 0 and math.isfinite(value)] or [1.0]
    high = math.ceil(math.log10(max(values)))
    low = max(min(math.floor(math.log10(min(values))), high - 1), high - _DECADES)
    panels = [
        (_WIDTH * (number % 2), _HEIGHT * (number // 2), _panel(ladder, ladder.rungs[0].value, number, low, high))
        for number, ladder in enumerate(certificate.ladders)
    ]
    title = f"{certificate.floor.metric} of degraded held-out images of {certificate.dataset}: {certificate.verdict}"
    return standalone(title, 2 * _WIDTH, _HEIGHT * math.ceil(len(panels) / 2), _LEFT, panels)


def _panel(ladder: CorruptionSeries, start: float, number: int, low: int, high: int) -> str:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT

    def place(value: float) -> float:
        share = (math.log10(value) - low) / (high - low) if value > 0 else 0.0
        return bottom - min(max(share, 0.0), 1.0) * (bottom - _TOP)

    step = (right - _LEFT) / len(ladder.rungs)
    columns = [_LEFT + step * (index + 0.5) for index in range(len(ladder.rungs))]
    parts = [label(_LEFT, 20, ladder.name, "start", "head"), label(_LEFT, 36, ladder.verdict, "start")]
    for power in range(low, high + 1):
        y = place(10.0**power)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(label(_LEFT - 6, y + 4, f"{10.0**power:g}", "end"))
    colour = f"series-{number}"
    parts.append(f'<line class="floor" x1="{_LEFT}" x2="{right}" y1="{place(start):.1f}" y2="{place(start):.1f}"/>')
    parts.append(_line(colour, [(x, place(rung.value)) for x, rung in zip(columns, ladder.rungs, strict=True)]))
    for x, rung in zip(columns, ladder.rungs, strict=True):
        ends = [place(rung.value + sign * _ERRORS * rung.standard_error) for sign in (-1, 1)]
        parts.append(f'<line class="{colour}" x1="{x:.1f}" x2="{x:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}"/>')
        parts.append(f'<circle class="{colour} dot" cx="{x:.1f}" cy="{place(rung.value):.1f}" r="3"/>')
        parts.append(label(x, bottom + 16, f"{rung.severity:g}", "middle"))
    parts.append(label((_LEFT + right) / 2, bottom + 32, ladder.unit, "middle"))
    return "".join(parts)


def _line(colour: str, points: Sequence[tuple[float, float]]) -> str:
    return f'<polyline class="{colour}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'
