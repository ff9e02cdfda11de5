"""The names of a table's rows in legends: the model, and the settings in which the rows differ.

What follows from the model needs no words: its loss, if each model has one. Any other setting that follows from the
model is named only where it is unusual; `unnamed_settings` says what the names leave out. How a cell is measured is
never part of a name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from genbench.report.table.layout import Column, Row, Table, Value, clean
from genbench.report.table.settings import MEASURING

_SELF_EXPLANATORY = ("run", "model", "loss", "variant", "dataset", "image shape", "device", "engine", "precision")


def differing_settings(table: Table) -> list[Column]:
    """Return the columns of the settings in which rows differ, without run and model."""
    keys = [column.key for column in table.columns]
    end = min(keys.index(key) for key in ("seeds", "status") if key in keys)
    return [column for column in table.columns[:end] if column.key not in ("run", "model")]


def row_names(table: Table, without: Collection[str] = ()) -> dict[int, str]:
    """Return the name of each cell's row by its number; without the settings `without`, names may repeat."""
    cells = {number: row for number, row in enumerate(table.rows) if row.kind == "cell"}
    columns = [column for column in table.columns if column.key in ("run", "model") and column.shown]
    columns += differing_settings(table)
    keys = [column.key for column in columns if column.key not in without]
    usual = unnamed_settings(table)
    keys = [key for key in keys if key not in MEASURING and not (key == "loss" and key in usual)]
    names = {
        number: " · ".join(part for key in keys if (part := _part(row, key)) and part != usual.get(key))
        for number, row in cells.items()
    }
    if without:
        return names
    counts = Counter(names.values())
    return {
        number: name if counts[name] == 1 else f"{name} · {table.rows[number].id.split(',')[0].rpartition('-')[2]}"
        for number, name in names.items()
    }


def unnamed_settings(table: Table) -> dict[str, str]:
    """Return the settings that follow from the model, with the usual value that names leave out."""
    rows = [row for row in table.rows if row.kind == "cell"]
    found = {}
    for column in differing_settings(table):
        if column.key in ("seed", "variant", "dataset", *MEASURING) or not _follows_from_model(rows, column.key):
            continue
        value, number = Counter(_part(row, column.key) for row in rows).most_common(1)[0]
        if column.key == "loss":
            found[column.key] = "as the model has it"
        elif 2 * number > len(rows):
            found[column.key] = value
    return found


def _follows_from_model(rows: Sequence[Row], key: str) -> bool:
    values: dict[str, set[str]] = {}
    for row in rows:
        values.setdefault(row.values.get("model", Value()).text, set()).add(_part(row, key))
    return all(len(own) == 1 for own in values.values())


def _part(row: Row, key: str) -> str:
    value = row.values.get(key, Value())
    if value.raw is None:
        return ""
    return clean(value.text if key in _SELF_EXPLANATORY else f"{key} {value.text}")
