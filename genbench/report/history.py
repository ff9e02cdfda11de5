"""The output of `genbench history`: the levels of each series as text, everything as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from tabulate import tabulate

from genbench.gate.history import TimeSeries
from genbench.report.numbers import MISSING, change, significant, with_error

HEADINGS = ("since", "run", "commit", "runs", "level", "change")
RUN_HEADINGS = ("time", "run", "commit", "seeds", "value", "level", "change")


def text(found: Sequence[TimeSeries], everything: bool) -> str:
    """Return one table for each series: its levels, or with `everything` all runs."""
    parts = []
    for series in found:
        rows = every_run(series) if everything else levels(series)
        headings = RUN_HEADINGS if everything else HEADINGS
        aligned = ["left"] * 3 + ["right"] * (len(headings) - 3)
        table = tabulate(rows, headings, disable_numparse=True, colalign=aligned)
        parts.append(f"{title(series)}\n{series.conditions}\n\n{table}\n")
    return "\n".join(parts) + f"\n{_ending(found)}\n"


def title(series: TimeSeries) -> str:
    """Return the title of a series, with an arrow towards the better values."""
    return f"{series.cell}: {series.quantity} {'↑' if series.direction == 'higher' else '↓'}"


def document(found: Sequence[TimeSeries]) -> list[dict[str, Any]]:
    """Return everything for programs."""
    return [{**msgspec.to_builtins(series), "changes": msgspec.to_builtins(series.changes)} for series in found]


def change_text(share: float | None, better: bool) -> str:
    """Return by how much a level changed, and whether that is better or worse."""
    return f"{change(share)} {'better' if better else 'worse'}"


def levels(series: TimeSeries) -> list[list[str]]:
    """Return a line for each level, with the texts of `HEADINGS`."""
    changes = {found.index: change_text(found.share, found.better) for found in series.changes}
    return [
        [
            *_where(series, piece.start),
            str(piece.stop - piece.start),
            significant(piece.level),
            changes.get(piece.start, ""),
        ]
        for piece in series.levels
    ]


def every_run(series: TimeSeries) -> list[list[str]]:
    """Return a line for each run, with the texts of `RUN_HEADINGS`."""
    changes = {found.index: change_text(found.share, found.better) for found in series.changes}
    return [
        [
            *_where(series, index),
            str(series.points[index].seeds),
            with_error(series.points[index].value, series.points[index].error),
            significant(piece.level),
            changes.get(index, ""),
        ]
        for piece in series.levels
        for index in range(piece.start, piece.stop)
    ]


def _where(series: TimeSeries, index: int) -> list[str]:
    point = series.points[index]
    return [point.created, point.run, point.commit or MISSING]


def _ending(found: Sequence[TimeSeries]) -> str:
    changes = sum(len(series.changes) for series in found)
    longest = max(len(series.points) for series in found)
    count = f"{changes} change{'s' if changes != 1 else ''} of level in {len(found)} series"
    return f"{count}. An annotation, not a verdict: `genbench ab` and `genbench check` decide." + (
        " A level has at least three runs, so fewer than six runs cannot show a change." if longest < 6 else ""
    )
