"""Results as data frames: which columns each layout has, their types, and how pandas and polars hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from genbench.api.evaluation import Estimate
from genbench.api.options import OptionValue
from genbench.commands.cell import Cell
from genbench.errors import UsageError, near_miss
from genbench.report.table.layout import Row, Table, Value
from genbench.report.table.settings import setting_text

if TYPE_CHECKING:  # strict checks of a plugin follow these imports: pandas has no types, and both may be missing
    import pandas  # type: ignore[import-untyped, import-not-found, unused-ignore]
    import polars  # type: ignore[import-not-found, unused-ignore]

Layout: TypeAlias = Literal["wide", "long", "curves", "evaluations", "windows"]
ColumnType: TypeAlias = Literal["text", "integer", "number", "boolean"]

_PANDAS = {"text": "string", "integer": "Int64", "number": "float64", "boolean": "boolean"}
_POLARS = {"text": "String", "integer": "Int64", "number": "Float64", "boolean": "Boolean"}
_CELL: dict[str, ColumnType] = {
    "run": "text", "id": "text", "model": "text", "loss": "text", "variant": "text", "dataset": "text",
    "device": "text", "seed": "integer",
}  # fmt: skip
_ESTIMATE: dict[str, ColumnType] = {
    "metric": "text", "value": "number", "standard_error": "number", "n": "integer", "direction": "text",
}  # fmt: skip
_EMPTY = Value()


@dataclass(frozen=True)
class Frame:
    """The rows of a data frame, and the type and unit of each column."""

    types: dict[str, ColumnType]
    rows: list[dict[str, Any]]
    units: dict[str, str]


def make_frame(cells: Sequence[Cell], table: Table, layout: str) -> Frame:
    """Return the rows of one layout; `table` has a row for each cell. Raises `UsageError` for an unknown layout."""
    if layout not in _LAYOUTS:
        raise UsageError(
            f"Unknown layout '{layout}'.{near_miss(layout, _LAYOUTS)}", f"Layouts: {', '.join(_LAYOUTS)}.", code="GB101"
        )
    return _LAYOUTS[layout](cells, table)


def as_pandas(frame: Frame) -> pandas.DataFrame:
    """Return a data frame of pandas; its ``attrs["units"]`` holds the unit of each column that has one."""
    try:
        import pandas
    except ImportError as error:
        raise _missing("pandas") from error
    columns = {
        name: pandas.Series([row.get(name) for row in frame.rows], dtype=_PANDAS[kind])
        for name, kind in frame.types.items()
    }
    made = pandas.DataFrame(columns)
    made.attrs["units"] = dict(frame.units)
    return made


def as_polars(frame: Frame) -> polars.DataFrame:
    """Return a data frame of polars."""
    try:
        import polars
    except ImportError as error:
        raise _missing("polars") from error
    schema = {name: getattr(polars, _POLARS[kind]) for name, kind in frame.types.items()}
    return polars.DataFrame(
        {name: [row.get(name) for row in frame.rows] for name in schema}, schema=schema, strict=False
    )


def _missing(library: str) -> UsageError:
    return UsageError(
        f"{library} is not installed.",
        f"Install it with `pip install {library}`, or use results.table().records, which needs nothing.",
        code="GB403",
    )


def _wide(cells: Sequence[Cell], table: Table) -> Frame:
    """One row per cell: every setting, and every measurement with its parts under the name that it has in CSV."""
    names = dict.fromkeys(["run", "id", *(name for cell in cells for name in cell.settings)])
    types = {name: _type_of([cell.settings.get(name) for cell in cells]) for name in names}
    types |= {"run": "text", "id": "text", "status": "text", "reason": "text"}
    measured = [column for column in table.columns if column.numeric and column.key not in types]
    units: dict[str, str] = {}
    for column in measured:
        parts = [f"{column.key} {part}" for part in column.parts]
        types |= dict.fromkeys([column.name, *parts], "number")
        units |= dict.fromkeys([column.name, *parts], column.unit) if column.unit else {}
    rows = []
    for cell, row in zip(cells, _rows(table), strict=True):
        found: dict[str, Any] = {name: _plain(name, value, types[name]) for name, value in cell.settings.items()}
        found |= {"run": cell.run, "id": cell.id, "status": cell.status, "reason": cell.reason}
        for column in measured:
            value = row.values.get(column.key, _EMPTY)
            found[column.name] = _number(value.raw)
            found |= {f"{column.key} {part}": value.parts.get(part) for part in column.parts}
        rows.append(found)
    return Frame(types, rows, units)


def _long(cells: Sequence[Cell], table: Table) -> Frame:
    """One row per cell and quantity; a quantity without a value has the reason as its note."""
    settings = {name for cell in cells for name in cell.settings}
    measured = [column for column in table.columns if column.numeric and column.key not in settings]
    notes = dict(table.footnotes)
    rows = []
    for cell, row in zip(cells, _rows(table), strict=True):
        estimates = {estimate.metric: estimate for estimate in cell.estimates}
        for column in measured:
            value = row.values.get(column.key)
            if value is None:
                continue
            estimate = estimates.get(column.key)
            rows.append(
                _about(cell)
                | {"status": cell.status, "quantity": column.key, "unit": column.unit, "direction": column.direction}
                | {"value": _number(value.raw), "n": estimate.n if estimate else None}
                | {part: value.parts.get(part) for part in ("standard_error", "low", "high", "null", "debiased")}
                | {"note": "; ".join(notes[mark] for mark in value.marks if mark in notes)}
            )
    types: dict[str, ColumnType] = {
        **_CELL, "status": "text", "quantity": "text", "value": "number", "unit": "text", "direction": "text",
        "standard_error": "number", "low": "number", "high": "number", "null": "number", "debiased": "number",
        "n": "integer", "note": "text",
    }  # fmt: skip
    return Frame(types, rows, {})


def _curves(cells: Sequence[Cell], table: Table) -> Frame:
    """One row per window and loss term."""
    rows = [
        _about(cell) | {"step": point.step, "images": point.images, "term": term, "value": value}
        for cell in cells
        for point in cell.curves
        for term, value in point.terms.items()
    ]
    return Frame({**_CELL, "step": "integer", "images": "integer", "term": "text", "value": "number"}, rows, {})


def _evaluations(cells: Sequence[Cell], table: Table) -> Frame:
    """One row per evaluation and metric; the final one is the last."""
    rows = []
    for cell in cells:
        points = [(point.step, point.images, point.estimates, False) for point in cell.evaluations]
        if cell.result is not None:
            points.append((cell.result.steps, cell.result.images, list(cell.estimates), True))
        rows += [
            _about(cell) | {"step": step, "images": images, "final": final} | _fields(estimate)
            for step, images, estimates, final in points
            for estimate in estimates
        ]
    types: dict[str, ColumnType] = {**_CELL, "step": "integer", "images": "integer", "final": "boolean", **_ESTIMATE}
    return Frame(types, rows, {})


def _windows(cells: Sequence[Cell], table: Table) -> Frame:
    """One row per timed window."""
    rows = [
        _about(cell)
        | {"step": window.step, "steps": window.steps, "images": window.images, "seconds": window.seconds}
        | {"warmup": window.warmup}
        for cell in cells
        for window in cell.windows
    ]
    types: dict[str, ColumnType] = {
        **_CELL, "step": "integer", "steps": "integer", "images": "integer", "seconds": "number", "warmup": "boolean",
    }  # fmt: skip
    return Frame(types, rows, {"seconds": "s"})


_LAYOUTS: Mapping[str, Callable[[Sequence[Cell], Table], Frame]] = {
    "wide": _wide, "long": _long, "curves": _curves, "evaluations": _evaluations, "windows": _windows,
}  # fmt: skip


def _rows(table: Table) -> list[Row]:
    return [row for row in table.rows if row.kind == "cell"]


def _about(cell: Cell) -> dict[str, Any]:
    identity = cell.identity
    return {
        "run": cell.run, "id": cell.id, "model": cell.model, "loss": cell.loss, "variant": cell.variant,
        "dataset": cell.dataset, "device": identity.device, "seed": cell.seed,
    }  # fmt: skip


def _fields(estimate: Estimate) -> dict[str, Any]:
    return {name: getattr(estimate, name) for name in _ESTIMATE}


def _type_of(values: Sequence[OptionValue]) -> ColumnType:
    """Return the narrowest type that holds all values; lists are text."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, bool) for value in known):
        return "boolean"
    if not known or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return "text"
    return "integer" if all(isinstance(value, int) for value in known) else "number"


def _plain(name: str, value: OptionValue, kind: ColumnType) -> OptionValue:
    return setting_text(name, value) if kind == "text" and value is not None else value


def _number(value: str | int | float | None) -> float | None:
    return float(value) if isinstance(value, int | float) else None
