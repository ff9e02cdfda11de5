"""What the comparison page reads about one cell: its values with what they may be compared with, and its curves."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genbench.api.evaluation import Direction
from genbench.report.board.records import BoardCell
from genbench.report.charts.curves import X_AXES
from genbench.report.charts.frontier import finite, interval, quality_columns, speed_columns
from genbench.report.html.page_data import curves_data, frames_data
from genbench.report.table.best import ONE_SEED, OVER_SEEDS
from genbench.report.table.comparability import SPEED_COLUMNS, dataset_key, group_key
from genbench.report.table.layout import DAGGER, Column, Row, Table, Value
from genbench.report.table.outcome import CellOutcome
from genbench.report.table.settings import setting_text
from genbench.report.table.values import protocol_text

_HIDDEN = ("id", "notes", "run", "model", "status", "seeds")


@dataclass(frozen=True)
class TableFacts:
    """What is the same for all cells of a table."""

    columns: tuple[Column, ...]
    texts: Mapping[str, str]  # of the footnotes, by mark, without those about other rows of the table
    charts: Mapping[str, tuple[str, Direction | None]]  # of axes: 'speed' or 'quality'; what is better
    references: tuple[Row, ...]  # the metrics of images that no model made

    @classmethod
    def of(cls, table: Table) -> TableFacts:
        """Return the facts of a table."""
        charts = {column.key: ("speed", column.direction) for column in speed_columns(table)}
        charts |= {column.key: ("quality", column.direction) for column in quality_columns(table)}
        references = tuple(row for row in table.rows if row.kind == "reference")
        return cls(table.columns, texts_of(table), charts, references)


def texts_of(table: Table) -> dict[str, str]:
    """Return the footnotes of a table by their marks, without those about the other rows of the table."""
    within = (DAGGER, ONE_SEED, OVER_SEEDS)
    return {mark: text for mark, text in table.footnotes if mark not in within and text not in within}


def cell_data(
    run_slug: str, cell: BoardCell, outcome: CellOutcome, row: Row, facts: TableFacts, run: str, pool: str
) -> dict[str, Any]:
    """Return the data of one cell.

    Args:
        run_slug: of the run that it belongs to.
        cell: what a board knows of it.
        outcome: the cell with its whole result.
        row: of the cell.
        facts: of the table that the row is in.
        run: the name of the run.
        pool: the same for cells that differ only in the seed.
    """
    columns, values = [], {}
    for column in facts.columns:
        value = row.values.get(column.key)
        if value is None or column.key in _HIDDEN or not (column.shown or column.exported):
            continue
        chart, direction = facts.charts.get(column.key, ("", None))
        columns.append(
            {
                "key": column.key, "heading": column.heading, "name": column.name, "numeric": column.numeric,
                "shown": column.shown, "setting": column.key in outcome.settings, "chart": chart,
                "direction": direction,
            }
        )  # fmt: skip
        values[column.key] = _value(value)
    keys = {column["key"]: _group(outcome, str(column["key"])) for column in columns}
    (curves,) = curves_data([outcome], [])
    return {
        "key": f"{run_slug}/{cell.slug}",
        "name": cell.name,
        "run": run,
        "model": outcome.planned.identity.model.name,
        "dataset": outcome.planned.identity.dataset.name,
        "data": _hash(dataset_key(outcome.planned.identity)),
        "status": cell.status,
        "pool": pool,
        "seed": outcome.planned.identity.seed,
        "references": [found for line in facts.references if (found := _reference(line, outcome))],
        "axes": X_AXES,
        "training": frames_data(outcome.result) if outcome.result is not None else None,
        "shape": list(outcome.planned.identity.image_shape),
        "columns": columns,
        "values": values,
        "notes": {
            key: [facts.texts[mark] for mark in value.marks if mark in facts.texts]
            for key, value in row.values.items()
            if value.marks
        },
        "groups": {key: found[0] for key, found in keys.items() if found is not None},
        "protocols": {found[0]: found[1] for found in keys.values() if found is not None},
        **curves,
    }


def _reference(row: Row, outcome: CellOutcome) -> dict[str, Any] | None:
    """Return a reference row of the cell's dataset; None for one of another dataset."""
    shown = {name: row.values[name].text if name in row.values else "" for name in ("model", "dataset", "image shape")}
    settings = outcome.settings
    if any(shown[name] != setting_text(name, settings[name]) for name in ("dataset", "image shape")):
        return None
    values = {key: _value(value) for key, value in row.values.items() if finite(value) is not None}
    return {"name": shown["model"], "dataset": shown["dataset"], "values": values}


def _value(value: Value) -> list[Any]:
    """Return text, number or text for sorting, and the interval."""
    raw = value.raw
    if isinstance(raw, float) and not math.isfinite(raw):
        raw = None
    bounds = (interval(value) if finite(value) is not None else None) or (None, None)
    return [value.text, raw, *bounds]


def _group(outcome: CellOutcome, column: str) -> tuple[str, str] | None:
    """Return what is equal for cells whose values may be compared, as a hash, and what it stands for."""
    key = group_key(outcome, column)
    if key is None or outcome.result is None:
        return None
    if column in SPEED_COLUMNS:
        facts = [
            " ".join(map(str, pair)) for pair in key[1:] if isinstance(pair, tuple) and pair[1] not in ("", "none")
        ]
        return _hash(key), ", ".join(facts)
    return _hash(key), protocol_text(outcome.estimates[column])


def _hash(key: object) -> str:
    return hashlib.sha256(repr(key).encode(errors="replace")).hexdigest()[:12]
