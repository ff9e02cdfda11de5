"""A quantity against a swept setting: one line for rows that differ in nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genbench.errors import UsageError, near_miss
from genbench.report.charts.frontier import finite, interval, quality_columns, speed_columns
from genbench.report.charts.row_names import differing_settings, row_names
from genbench.report.table.comparability import SPEED_COLUMNS, comparable_groups, differences
from genbench.report.table.layout import Column, Table


@dataclass(frozen=True)
class SweptPoint:
    """One row of the table."""

    row: int
    at: float | str  # the value of the setting
    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class SweptLine:
    """Rows that differ only in the swept setting, in its order."""

    name: str
    points: tuple[SweptPoint, ...]


@dataclass(frozen=True)
class SweptPanel:
    """Lines that may be compared."""

    condition: str  # in what it differs from other panels, or empty
    lines: tuple[SweptLine, ...]


@dataclass(frozen=True)
class SweptQuantity:
    """Everything that one chart shows."""

    setting: Column
    quantity: Column
    follows: tuple[str, ...]  # settings that change with the swept one
    panels: tuple[SweptPanel, ...]


def swept_settings(table: Table, swept: Sequence[str] = ()) -> list[Column]:
    """Return the settings with several values, those of `swept` first, then the other numeric ones."""
    columns = [column for column in differing_settings(table) if column.key != "seed"]
    return sorted(columns, key=lambda column: (column.key not in swept, not column.numeric))


def swept_quantity(table: Table, setting: Column, quantity: Column, swept: Sequence[str] = ()) -> SweptQuantity:
    """Return the lines of a quantity over a setting; paired sweeps (`--zip`) change together."""
    follows = tuple(name for name in swept if name != setting.key and _follows(table, name, setting.key))
    names = row_names(table, {setting.key, *follows})
    cells = [cell for row in table.rows if row.kind == "cell" for cell in row.cells]
    about = quantity.key
    limited = about not in SPEED_COLUMNS and not any(about == column.key for column in quality_columns(table))
    groups = [cells] if limited else comparable_groups(cells, about)
    panels = []
    for group, condition in zip(groups, [""] if limited else differences(groups, about), strict=True):
        members = set(group)
        lines: dict[str, list[SweptPoint]] = {}
        for number, row in enumerate(table.rows):
            value, at = row.values.get(quantity.key), row.values.get(setting.key)
            height = finite(value)
            if members.intersection(row.cells) and value is not None and at is not None and height is not None:
                place = float(at.raw) if setting.numeric and isinstance(at.raw, int | float) else at.text
                lines.setdefault(names[number], []).append(SweptPoint(number, place, height, interval(value)))
        if lines:
            made = [SweptLine(name, tuple(_ordered(points))) for name, points in lines.items()]
            panels.append(SweptPanel(condition, tuple(made)))
    return SweptQuantity(setting, quantity, follows, tuple(panels))


def find_swept(table: Table, name: str, swept: Sequence[str] = ()) -> Column:
    """Return the setting of this name, or the usual one for an empty name; raise `UsageError` if nothing differs."""
    columns = swept_settings(table, swept)
    if not columns:
        raise UsageError(
            "No setting has several values in these cells.",
            "Sweep one, such as `genbench run --batch-size 16,32,64`.",
            code="GB709",
        )
    return _named(name, columns, "has several values", "Settings") if name else columns[0]


def find_quantity(table: Table, name: str) -> Column:
    """Return the measured column of this name, or the usual one for an empty name."""
    usual = [*speed_columns(table), *quality_columns(table)]
    keys = {column.key for column in usual}
    settings = {"seed", "seeds", *(column.key for column in differing_settings(table))}
    others = [
        column
        for column in table.columns
        if column.numeric
        and column.key not in keys | settings
        and any(row.kind == "cell" and finite(row.values.get(column.key)) is not None for row in table.rows)
    ]
    return _named(name, [*usual, *others], "was measured", "Measured")


def _named(name: str, columns: Sequence[Column], what: str, listed: str) -> Column:
    for column in columns:
        if not name or name.strip().lower() == column.key.lower():
            return column
    keys = [column.key for column in columns]
    raise UsageError(
        f"No quantity '{name}' {what}.{near_miss(name, keys)}" if name else "Nothing was measured.",
        f"{listed}: {', '.join(keys) or 'none'}.",
        code="GB602",
    )


def _follows(table: Table, name: str, setting: str) -> bool:
    """Say whether a setting has one value for each value of another one, and not always the same."""
    found: dict[object, set[object]] = {}
    for row in table.rows:
        if row.kind == "cell" and name in row.values and setting in row.values:
            found.setdefault(row.values[setting].raw, set()).add(row.values[name].raw)
    return all(len(own) == 1 for own in found.values()) and len(set().union(*found.values())) > 1


def _ordered(points: Sequence[SweptPoint]) -> list[SweptPoint]:
    """Return the points in the order of a numeric setting, or as they are."""
    places = {point: point.at for point in points if isinstance(point.at, float)}
    return sorted(points, key=places.__getitem__) if len(places) == len(points) else list(points)
