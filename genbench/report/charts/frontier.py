"""Quality against speed: which rows of a table are not beaten in both by any comparable row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from genbench.api.evaluation import Direction
from genbench.report.table.comparability import SPEED_COLUMNS, comparable_groups
from genbench.report.table.layout import Column, Row, Table, Value
from genbench.report.table.outcome import CellOutcome

ERRORS = 2.0  # standard errors that a bar extends to each side where no interval is known
_COSTS: dict[str, Direction] = {  # what a comparison may be about besides quality, in the order of a chooser
    "images/s": "higher",
    "training time": "lower",
    "time": "lower",
    "energy/image": "lower",
    "FLOP/image": "lower",
    "FLOP/sample": "lower",
    "samples/s": "higher",
    "images seen": "lower",
    "parameters": "lower",
    "peak memory": "lower",
    "peak GPU memory": "lower",
}
_BEATS = ("ok",)  # only a training that succeeded may be on the frontier


@dataclass(frozen=True)
class FrontierPoint:
    """One row of the table on both axes."""

    row: int  # its number in the table
    speed: float
    quality: float
    speed_interval: tuple[float, float] | None
    quality_interval: tuple[float, float] | None
    on_frontier: bool = False  # no comparable row is at least as good on both axes, and better on one


@dataclass(frozen=True)
class FrontierGroup:
    """Points that may be compared on both axes: the same data, protocol, machine and software."""

    dataset: str
    points: tuple[FrontierPoint, ...]

    @property
    def frontier(self) -> list[FrontierPoint]:
        """The points on the frontier in the order of their speed."""
        return sorted((point for point in self.points if point.on_frontier), key=lambda point: point.speed)


@dataclass(frozen=True)
class ReferenceLine:
    """The quality of images that no model made."""

    name: str
    dataset: str
    value: float


@dataclass(frozen=True)
class Frontier:
    """Everything that one chart of quality against speed shows."""

    speed: Column
    quality: Column
    groups: tuple[FrontierGroup, ...]
    references: tuple[ReferenceLine, ...]


def speed_columns(table: Table) -> list[Column]:
    """Return the columns of speed and cost that have values, the usual choice first, each with its direction."""
    targets = [column for column in table.columns if column.key.startswith(("seconds to ", "images to "))]
    by_key = {column.key: column for column in table.columns}
    named = [(by_key[key], direction) for key, direction in _COSTS.items() if key in by_key]
    both = [*named, *((column, "lower") for column in targets)]
    return [_directed(column, direction) for column, direction in both if _has_values(table, column.key)]


def quality_columns(table: Table) -> list[Column]:
    """Return the columns of metrics that have a direction and values."""
    costs = {column.key for column in speed_columns(table)} | set(SPEED_COLUMNS)
    return [
        column
        for column in table.columns
        if column.direction is not None
        and column.key not in costs
        and not column.key.startswith("samples/s by ")
        and _has_values(table, column.key)
    ]


def frontier(table: Table, speed: Column, quality: Column) -> Frontier:
    """Return the points of a table's cells on these two axes, in groups that are comparable on both."""
    rows = [(number, row) for number, row in enumerate(table.rows) if row.kind == "cell"]
    keys = _groups([row for _, row in rows], speed, quality)
    groups: dict[tuple[int, int], list[FrontierPoint]] = {}
    datasets: dict[tuple[int, int], str] = {}
    statuses = {}
    for (number, row), key in zip(rows, keys, strict=True):
        point = _point(number, row, speed, quality)
        if key is not None and point is not None:
            groups.setdefault(key, []).append(point)
            datasets[key] = row.cells[0].planned.identity.dataset.name
            statuses[number] = all(cell.status in _BEATS for cell in row.cells)
    found = [FrontierGroup(datasets[key], _marked(points, statuses, speed, quality)) for key, points in groups.items()]
    return Frontier(speed, quality, tuple(found), tuple(_references(table, quality)))


def interval(value: Value) -> tuple[float, float] | None:
    """Return the interval that a value states, or two standard errors to each side; None if neither is known."""
    low, high = value.parts.get("low"), value.parts.get("high")
    if low is not None and high is not None:
        return (low, high) if math.isfinite(low) and math.isfinite(high) else None
    number, error = finite(value), value.parts.get("standard_error")
    if number is None or error is None or not math.isfinite(error):
        return None
    return number - ERRORS * error, number + ERRORS * error


def finite(value: Value | None) -> float | None:
    """Return the number of a value, or None if it has none or it is not finite."""
    raw = value.raw if value is not None else None
    return float(raw) if isinstance(raw, int | float) and math.isfinite(raw) else None


def is_at_least_as_good(one: float, other: float, direction: Direction | None) -> bool:
    """Say whether a value is as good as another one or better."""
    return one <= other if direction == "lower" else one >= other


def _directed(column: Column, direction: Direction) -> Column:
    return Column(column.key, column.unit, direction, column.parts, column.numeric)


def _has_values(table: Table, key: str) -> bool:
    return any(row.kind == "cell" and finite(row.values.get(key)) is not None for row in table.rows)


def _point(number: int, row: Row, speed: Column, quality: Column) -> FrontierPoint | None:
    x, y = row.values.get(speed.key), row.values.get(quality.key)
    at, height = finite(x), finite(y)
    if x is None or y is None or at is None or height is None:
        return None
    return FrontierPoint(number, at, height, interval(x), interval(y))


def _groups(rows: Sequence[Row], speed: Column, quality: Column) -> list[tuple[int, int] | None]:
    """Return for each row in which comparable group it is on either axis; None if in none."""
    cells = [cell for row in rows for cell in row.cells]
    by_quality = _numbered(comparable_groups(cells, quality.key))
    limited = speed.key in SPEED_COLUMNS or speed.key.startswith("seconds to ")
    by_speed = _numbered(comparable_groups(cells, "time" if limited else quality.key))
    found: list[tuple[int, int] | None] = []
    for row in rows:
        of_row = [(by_speed[cell], by_quality[cell]) for cell in row.cells if cell in by_speed and cell in by_quality]
        found.append(of_row[0] if of_row else None)
    return found


def _numbered(groups: Sequence[Sequence[CellOutcome]]) -> dict[CellOutcome, int]:
    return {cell: number for number, group in enumerate(groups) for cell in group}


def _marked(
    points: Sequence[FrontierPoint], succeeded: dict[int, bool], speed: Column, quality: Column
) -> tuple[FrontierPoint, ...]:
    able = [point for point in points if succeeded[point.row]]
    best = _not_dominated(able, speed.direction, quality.direction)
    return tuple(
        FrontierPoint(
            point.row, point.speed, point.quality, point.speed_interval, point.quality_interval, point.row in best
        )
        for point in points
    )


def _not_dominated(points: Sequence[FrontierPoint], speed: Direction | None, quality: Direction | None) -> set[int]:
    """Return the rows that no other row dominates: from the fastest on, each that improves the best quality so far."""
    by_speed = sorted(points, key=lambda point: point.speed if speed == "lower" else -point.speed)
    found: set[int] = set()
    best: float | None = None
    start = 0
    while start < len(by_speed):
        end = start
        while end < len(by_speed) and by_speed[end].speed == by_speed[start].speed:
            end += 1
        qualities = [point.quality for point in by_speed[start:end]]
        top = min(qualities) if quality == "lower" else max(qualities)
        if best is None or (top != best and is_at_least_as_good(top, best, quality)):
            found |= {point.row for point in by_speed[start:end] if point.quality == top}
            best = top
        start = end
    return found


def _references(table: Table, quality: Column) -> list[ReferenceLine]:
    found = []
    for row in table.rows:
        value = finite(row.values.get(quality.key))
        if row.kind == "reference" and value is not None:
            names = {key: row.values[key].text if key in row.values else "" for key in ("model", "dataset")}
            found.append(ReferenceLine(names["model"], names["dataset"], value))
    return found
