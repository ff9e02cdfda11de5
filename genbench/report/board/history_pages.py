"""The pages of a cell's history over runs: a chart of each series, and a table with all of its values."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
from markupsafe import Markup

from genbench.gate.history import MeasuredPoint, Point, TimeSeries, series_of
from genbench.gate.judge import SPEED
from genbench.report.board.page_templates import page_path, render
from genbench.report.board.records import BoardRun
from genbench.report.board.slugs import slug
from genbench.report.history import RUN_HEADINGS, change_text, every_run, title
from genbench.report.html.page_data import as_script, rounded
from genbench.report.table.layout import clean

MOST_RUNS = 150  # of a series on its page, and in the search for changes: the latest
_MOST_LINES = 900  # in the tables of one page


class CellHistory(NamedTuple):
    """The points of one cell that have others to be compared with, in the series of each page."""

    name: str
    stem: str  # of the paths of its pages
    runs: int
    quantities: list[str]
    pages: list[list[MeasuredPoint]]

    def keys(self, board: str) -> list[tuple[str, str]]:
        """Return the path of each page, and the hash of everything that the page depends on."""
        made = []
        for number, points in enumerate(self.pages):
            content = msgspec.json.encode([board, self.name, number, len(self.pages), points])
            made.append((page_path(self.stem, number), hashlib.sha256(content).hexdigest()))
        return made


def cell_histories(runs: Sequence[BoardRun]) -> Iterator[CellHistory]:
    """Yield the history of each cell that several runs have measured under equal conditions, by name."""
    by_cell: dict[str, list[MeasuredPoint]] = {}
    for run in runs:
        for point in run.points:
            by_cell.setdefault(point.cell, []).append(point)
    for cell, points in sorted(by_cell.items()):
        counts = Counter((point.quantity, point.settings) for point in points)
        several = [point for point in points if counts[point.quantity, point.settings] > 1]
        if several:
            quantities = sorted({point.quantity for point in several})
            stem = f"history/{slug(cell, 'history')}"
            yield CellHistory(clean(cell), stem, max(counts.values()), quantities, _pages(several, counts))


def history_page(history: CellHistory, number: int, board: str) -> bytes:
    """Return one page of a history, counted from 0; `board` is the title of the site."""
    latest = [_latest(series) for series in series_of(history.pages[number], MOST_RUNS)]
    shown = [
        {
            "title": clean(title(series)), "conditions": clean(series.conditions, 2000), "lines": every_run(series),
            "left_out": left_out,
        }
        for series, left_out in latest
    ]  # fmt: skip
    data = [_chart_data(series) for series, _ in latest]
    return render(
        "history.html", root="../", board=board, title=history.name, series=shown, headings=RUN_HEADINGS,
        stem=history.stem.partition("/")[2], pages=len(history.pages), number=number, data=Markup(as_script(data)),
    )  # fmt: skip


def _pages(points: Sequence[MeasuredPoint], counts: Mapping[tuple[str, str], int]) -> list[list[MeasuredPoint]]:
    """Return the points in pages, all of a series on the same one."""
    place: dict[tuple[str, str], int] = {}
    lines = [0]
    for key in dict.fromkeys((point.quantity, point.settings) for point in points):
        size = min(counts[key], MOST_RUNS)
        if lines[-1] and lines[-1] + size > _MOST_LINES:
            lines.append(0)
        lines[-1] += size
        place[key] = len(lines) - 1
    pages: list[list[MeasuredPoint]] = [[] for _ in lines]
    for point in points:
        pages[place[point.quantity, point.settings]].append(point)
    return pages


def _latest(series: TimeSeries) -> tuple[TimeSeries, int]:
    """Return the latest runs of a series, and how many earlier ones are left out: they belong to the first level."""
    begin = max(0, len(series.points) - MOST_RUNS)
    levels = [replace(one, start=max(0, one.start - begin), stop=one.stop - begin) for one in series.levels]
    return replace(series, points=series.points[begin:], levels=levels), begin


def _chart_data(series: TimeSeries) -> dict[str, Any]:
    """Return what the chart draws; runs are equally spaced: what separates them is a change of code, not time."""
    return {
        "quantity": "images/s" if series.quantity == SPEED else series.quantity,
        "direction": series.direction,
        "labels": [_label(point) for point in series.points],
        "values": [rounded(point.value) for point in series.points],
        "errors": [rounded(point.error) for point in series.points],
        "levels": [[one.start, one.stop, rounded(one.level)] for one in series.levels],
        "changes": [[one.index, one.better, change_text(one.share, one.better)] for one in series.changes],
    }


def _label(point: Point) -> str:
    return (point.commit or point.created).split()[-1][:10] if (point.commit or point.created).split() else ""
