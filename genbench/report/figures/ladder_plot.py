"""The ladders of a certificate: distance over severity, a panel for each, on a shared logarithmic scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from genbench.errors import NoDataError
from genbench.gate.extractor_certificate import Certificate, CorruptionSeries
from genbench.report.figures.appearance import series
from genbench.report.figures.caption import TWO_ERRORS, Caption
from genbench.report.figures.options import Options, Plot
from genbench.report.figures.text import tick
from genbench.report.numbers import with_error
from genbench.report.table.values import protocol_text

if TYPE_CHECKING:
    from genbench.report.figures.canvas import Axes, Canvas

_ERRORS = 2.0
_DECADES = 6  # below the largest value; smaller values are drawn at the bottom


def ladder_plot(certificate: Certificate, options: Options) -> Plot:
    """Return the plot of a certificate; raise `NoDataError` if it has no ladders."""
    options.refuse("ladder", "x", "y", "log_x")
    if not any(ladder.rungs for ladder in certificate.ladders):
        raise NoDataError("This certificate has no ladders.", "Make one with `genbench metrics certify`.")
    drawing = _LadderDrawing(certificate, options)
    return Plot(drawing.caption(), drawing.draw)


class _LadderDrawing:
    def __init__(self, certificate: Certificate, options: Options) -> None:
        self.certificate, self.options = certificate, options
        self.ladders = [ladder for ladder in certificate.ladders if ladder.rungs]
        values = [level.value for ladder in self.ladders for level in ladder.rungs if level.value > 0]
        values = [value for value in values if math.isfinite(value)] or [1.0]
        high = math.ceil(math.log10(max(values)))
        self.limits = max(min(math.floor(math.log10(min(values))), high - 1), high - _DECADES), high

    def caption(self) -> Caption:
        made = self.certificate
        facts = [
            ("Extractor", made.extractor),
            ("Images", f"held-out images of {made.dataset}, degraded in levels"),
            ("Verdict", made.verdict),
            (f"Floor of {made.floor.metric}", with_error(made.floor.value, made.floor.standard_error)),
            ("Protocol", protocol_text(made.floor)),
            ("Error bars", TWO_ERRORS),
            ("Dashed", "images that are not degraded, with the bias of the sample size removed"),
            ("Vertical axis", f"the same in all panels; values below 1e{self.limits[0]} are at its lower end"),
        ]
        for ladder in self.ladders:
            levels = ", ".join(
                f"{rung.severity:g}: {with_error(rung.value, rung.standard_error)}" for rung in ladder.rungs
            )
            facts.append((f"{ladder.name} ({ladder.unit}), {ladder.verdict}", levels))
        return Caption(self._title(), (*facts, *(("Note", note) for note in made.notes)))

    def _title(self) -> str:
        made = self.certificate
        return f"{made.floor.metric} of degraded held-out images of {made.dataset}: {made.verdict}"

    def draw(self, canvas: Canvas) -> None:
        made = canvas.panels(len(self.ladders), title=self._title(), heights=[5.6])
        for number, (axes, ladder) in enumerate(zip(made, self.ladders, strict=True)):
            self._panel(canvas, axes, ladder, number)

    def _panel(self, canvas: Canvas, axes: Axes, ladder: CorruptionSeries, number: int) -> None:
        how = series(canvas.theme, number)
        low, high = (10.0**power for power in self.limits)
        logarithmic = self.options.log_y is not False
        floor = low if logarithmic else -math.inf
        values = [max(rung.value, floor) if math.isfinite(rung.value) else math.nan for rung in ladder.rungs]
        below = [
            v - max(v - _ERRORS * rung.standard_error, floor) for v, rung in zip(values, ladder.rungs, strict=True)
        ]
        above = [_ERRORS * rung.standard_error for rung in ladder.rungs]
        places = range(len(values))
        axes.axhline(values[0], color=canvas.theme.colours.pale, linewidth=1.0, dashes=(4, 2), zorder=1.5)
        (line, *_) = axes.errorbar(
            places, values, yerr=[below, above], color=how.colour, marker=how.marker, capsize=2, elinewidth=1
        )
        line.set_gid(f"levels-{number}")
        canvas.scale(axes, "y", [low, high], logarithmic)
        if logarithmic:
            axes.set_ylim(low * 0.8, high * 1.25)
        canvas.ticks(axes, "x", places, [tick(rung.severity) for rung in ladder.rungs])
        canvas.label(axes, "x", ladder.unit, "", None)
        metric = self.certificate.floor
        canvas.label(axes, "y", metric.metric, "", metric.direction)
        canvas.panel_title(axes, ladder.name, ladder.verdict)
