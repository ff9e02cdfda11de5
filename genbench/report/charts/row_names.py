"""The names of a table's rows in legends: the model, and every setting in which the rows differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from genbench.report.table.layout import Column, Row, Table, Value, clean

_SELF_EXPLANATORY = ("run", "model", "loss", "variant", "dataset", "image shape", "device", "engine", "precision")


def differing_settings(table: Table) -> list[Column]:
    """Return the columns of the settings in which rows differ, without run and model."""
    keys = [column.key for column in table.columns]
    end = min(keys.index(key) for key in ("seeds", "status") if key in keys)
    return [column for column in table.columns[:end] if column.key not in ("run", "model")]


def row_names(table: Table, without: Collection[str] = ()) -> dict[int, str]:
    """Return the name of each cell's row by its number; without the settings `without`, names may repeat."""
    columns = [column for column in table.columns if column.key in ("run", "model") and column.shown]
    columns += differing_settings(table)
    keys = [column.key for column in columns if column.key not in without]
    cells = [(number, row) for number, row in enumerate(table.rows) if row.kind == "cell"]
    names = {number: " · ".join(filter(None, (_part(row, key) for key in keys))) for number, row in cells}
    if without:
        return names
    counts = Counter(names.values())
    return {
        number: name if counts[name] == 1 else f"{name} · {table.rows[number].id.split(',')[0].rpartition('-')[2]}"
        for number, name in names.items()
    }


def _part(row: Row, key: str) -> str:
    value = row.values.get(key, Value())
    if value.raw is None:
        return ""
    return clean(value.text if key in _SELF_EXPLANATORY else f"{key} {value.text}")
