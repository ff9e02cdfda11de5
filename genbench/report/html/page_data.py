"""What the scripts of a page read: the table, its chart of quality against speed, and the curves, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genbench.gate.time_to_target import time_to_target
from genbench.report.charts.curves import X_AXES, Curve, TrainingClock, curves_of, mean_curve
from genbench.report.charts.frontier import finite, frontier, interval, quality_columns, speed_columns
from genbench.report.table.layout import Column, Row, Table, clean
from genbench.report.table.outcome import CellOutcome
from genbench.results.files import encode_line
from genbench.results.schema import CellResult, Target

_MOST_VALUES = 700_000  # of all curves of a page together
_LONGEST = 4000  # characters of a text
_LEAST_POINTS, _MOST_POINTS = 40, 400  # of one curve


def table_data(title: str, table: Table, names: Sequence[str], numbers: dict[CellOutcome, int]) -> dict[str, Any]:
    """Return a table as plain data.

    Args:
        title: what its rows are.
        table: what is shown.
        names: of its rows.
        numbers: the place of each cell on the page.
    """
    settings = {name for row in table.rows for cell in row.cells for name in cell.settings}
    return {
        "title": title,
        "caption": table.caption,
        "columns": [
            {
                "key": column.key,
                "heading": column.heading,
                "name": column.name,
                "numeric": column.numeric,
                "shown": column.shown,
                "setting": column.key in settings or column.key in ("run", "model", "status"),
            }
            for column in table.columns
        ],
        "rows": [
            {
                "kind": row.kind,
                "name": name,
                "cells": [numbers[cell] for cell in row.cells],
                "values": [_value(row, column) for column in table.columns],
                "best": [key for key, value in row.values.items() if value.best],
            }
            for row, name in zip(table.rows, names, strict=True)
        ],
        "footnotes": dict(table.footnotes),
        "best": table.best,
        "letters": table.letters,
        **_frontiers(table),
    }


def curves_data(cells: Sequence[CellOutcome], targets: Sequence[Target]) -> list[dict[str, Any]]:
    """Return the curves of each cell, and when it reached each target."""
    found = [curves_of(cell.result) if cell.result is not None else [] for cell in cells]
    most = _most_points(found)
    return [
        {"curves": _shared_axes(curves, most), "reached": _reached(cell, targets)}
        for cell, curves in zip(cells, found, strict=True)
    ]


def pools_data(table: Table, names: Sequence[str], numbers: dict[CellOutcome, int]) -> list[dict[str, Any]]:
    """Return the mean curves of each row that has several seeds."""
    pools = []
    for row, name in zip(table.rows, names, strict=True):
        if len(row.results) < 2:
            continue
        by_quantity: dict[str, list[Curve]] = {}
        for result in row.results:
            for curve in curves_of(result):
                by_quantity.setdefault(curve.quantity, []).append(curve)
        means = [mean for curves in by_quantity.values() if (mean := mean_curve(curves)) is not None]
        pools.append(
            {
                "name": name,
                "cells": [numbers[cell] for cell in row.cells],
                "curves": _shared_axes(means, _MOST_POINTS),
            }
        )
    return pools


def frames_data(result: CellResult) -> dict[str, Any] | None:
    """Return where each frame of the samples during training is, and when it was drawn; None without such samples."""
    record = result.training_samples
    if record is None:
        return None
    clock = TrainingClock(result.windows)
    return {
        "columns": record.columns,
        "rows": record.rows,
        "width": record.width,
        "height": record.height,
        "images": [frame.images for frame in record.frames],
        "steps": [frame.step for frame in record.frames],
        "seconds": [round(clock.seconds_at(frame.step), 3) for frame in record.frames],
    }


def as_script(data: Any) -> str:
    """Return data as JSON that may stand inside a script element, without characters that control how text is shown."""
    text = encode_line(_cleaned(data)).decode()
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _cleaned(data: Any) -> Any:
    if isinstance(data, str):
        return clean(data, _LONGEST)
    if isinstance(data, dict):
        return {_cleaned(name): _cleaned(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [value if type(value) in (float, int) else _cleaned(value) for value in data]
    return data


def _value(row: Row, column: Column) -> list[Any] | None:
    """Return what a reader sees, what sorting uses, the marks of footnotes, and letters; without what is empty."""
    value = row.values.get(column.key)
    if value is None:
        return None
    raw = rounded(value.raw) if isinstance(value.raw, float) else value.raw
    shown: list[Any] = [value.text, raw, list(value.marks), value.letters]
    return shown if value.letters else shown[:3] if value.marks else shown[:2]


def _frontiers(table: Table) -> dict[str, Any]:
    """Return the axes of the chart, the values and intervals on each, and the frontier of each pair of axes."""
    speeds, qualities = speed_columns(table), quality_columns(table)
    pairs: dict[str, dict[str, list[Any]]] = {}
    references: dict[str, list[list[Any]]] = {}
    for quality in qualities:
        for speed in speeds:
            found = frontier(table, speed, quality)
            references[quality.key] = [[line.name, line.dataset, rounded(line.value)] for line in found.references]
            pairs.setdefault(quality.key, {})[speed.key] = [
                {
                    "dataset": group.dataset,
                    "rows": [point.row for point in group.points],
                    "frontier": [point.row for point in group.frontier],
                }
                for group in found.groups
            ]
    return {
        "speeds": [_axis(table, column) for column in speeds],
        "qualities": [_axis(table, column) for column in qualities],
        "frontiers": pairs,
        "references": references,
    }


def _axis(table: Table, column: Column) -> dict[str, Any]:
    points = []
    for number, row in enumerate(table.rows):
        value = row.values.get(column.key)
        at = finite(value)
        if row.kind == "cell" and value is not None and at is not None:
            bounds = interval(value) or (None, None)
            points.append([number, rounded(at), *map(rounded, bounds)])
    return {"key": column.key, "name": column.name, "direction": column.direction, "points": points}


def _most_points(curves: Sequence[Sequence[Curve]]) -> int:
    count = sum(map(len, curves))
    return min(_MOST_POINTS, max(_LEAST_POINTS, _MOST_VALUES // max(count, 1)))


def _shared_axes(curves: Sequence[Curve], most: int) -> list[dict[str, Any]]:
    """Return curves in groups that have the same positions, which are then stated once."""
    groups: dict[tuple[tuple[int, ...], tuple[float, ...]], list[Curve]] = {}
    for curve in curves:
        thinned = curve.thinned(most)
        groups.setdefault((thinned.images, thinned.seconds), []).append(thinned)
    return [
        {
            **{axis: [rounded(x) for x in members[0].x(axis)] for axis in X_AXES},
            "quantities": [
                {"name": curve.quantity, "kind": curve.kind, "values": [rounded(y) for y in curve.values]}
                | ({"errors": [rounded(error) for error in curve.errors]} if curve.errors else {})
                for curve in members
            ],
        }
        for members in groups.values()
    ]


def _reached(cell: CellOutcome, targets: Sequence[Target]) -> list[dict[str, Any] | None]:
    result = cell.result
    found = [None if result is None else time_to_target(result.evaluations, result.windows, t) for t in targets]
    return [
        None if one is None else {"steps": one.step, "images": one.images, "seconds": rounded(one.seconds)}
        for one in found
    ]


def rounded(value: float | None) -> float | None:
    """Return a number to six significant digits: no chart shows more."""
    return None if value is None else float(f"{value:.6g}") if isinstance(value, float) else value
