"""A table in one of the formats: sorted, escaped, with its caption and footnotes."""

from __future__ import annotations

import csv
import html
import io
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from genbench.errors import UsageError, near_miss
from genbench.report import markup
from genbench.report.table.layout import (
    Column,
    Row,
    Table,
    Value,
)

FORMATS = ("github", "csv", "latex", "json", "html", "plain")
_EMPTY = Value()


def render(table: Table, format: str, sort: str | None = None, columns: Sequence[str] | None = None) -> str:
    """Return `table` as text that ends with a line feed.

    `sort` is the key of a column, with a leading '-' for largest first; rows without a value come last, and reference
    rows stay at the end. `columns` are keys in the desired order; without them, ``csv`` and ``json`` contain every
    setting as raw numbers, and the other formats what differs between rows. Raises `UsageError` for an unknown format
    or column.
    """
    if format not in FORMATS:
        raise UsageError(f"Unknown format '{format}'.{near_miss(format, FORMATS)}", f"Formats: {', '.join(FORMATS)}.")
    return _RENDERERS[format](*_arranged(table, sort, columns, raw=format in ("csv", "json")))


def records(
    table: Table, sort: str | None = None, columns: Sequence[str] | None = None
) -> list[dict[str, str | int | float | None]]:
    """Return the rows as plain values, with the keys and numbers that ``csv`` has; see `render` for the arguments."""
    header, rows = _plain_values(*_arranged(table, sort, columns, raw=True))
    return [dict(zip(header, row, strict=True)) for row in rows]


def _arranged(
    table: Table, sort: str | None, columns: Sequence[str] | None, raw: bool
) -> tuple[Table, Sequence[Column]]:
    """Return the sorted table and the columns to show: the named ones, or those that this kind of format shows."""
    if sort:
        table = _sorted(table, sort)
    if columns:
        return table, [find_column(table, key) for key in columns]
    return table, [column for column in table.columns if (column.exported if raw else column.shown)]


def find_column(table: Table, name: str) -> Column:
    """Return the column with this key; raise `UsageError` with the nearest key otherwise."""
    wanted = name.strip().lower()
    for column in table.columns:
        if wanted in (column.key.lower(), column.heading.lower()):
            return column
    keys = [column.key for column in table.columns]
    raise UsageError(f"No column is called '{name}'.{near_miss(name, keys)}", f"Columns: {', '.join(keys)}.")


def _sorted(table: Table, sort: str) -> Table:
    column = find_column(table, sort.removeprefix("-"))
    descending = sort.startswith("-")
    cells = [row for row in table.rows if row.kind == "cell"]
    known = [row for row in cells if row.values.get(column.key, _EMPTY).raw is not None]
    known.sort(key=lambda row: _sort_key(row.values[column.key].raw), reverse=descending)
    missing = [row for row in cells if row.values.get(column.key, _EMPTY).raw is None]
    references = [row for row in table.rows if row.kind == "reference"]
    return replace(table, rows=(*known, *missing, *references))


def _sort_key(raw: str | int | float | None) -> tuple[bool, float, str]:
    if isinstance(raw, int | float):
        return False, float(raw), ""
    return True, 0.0, str(raw).casefold()


# ----------------------------------------------------------------------------------------------------------------------
# For readers


def _body(table: Table, columns: Sequence[Column], style: markup.Markup, tabulate_format: str) -> str:
    from tabulate import tabulate

    rows = [[_text(row, column, style) for column in columns] for row in table.rows]
    headings = [style.text(column.heading) for column in columns]
    if style is markup.PLAIN:  # a terminal is narrow
        headings = [textwrap.fill(heading, 12, break_long_words=False, break_on_hyphens=False) for heading in headings]
    return tabulate(
        rows,
        headers=headings,
        tablefmt=tabulate_format,
        disable_numparse=True,
        colalign=["right" if column.numeric else "left" for column in columns] if rows else None,
    )


def _text(row: Row, column: Column, style: markup.Markup) -> str:
    value = row.values.get(column.key, _EMPTY)
    return style.text(value.text) + "".join(style.mark(mark) for mark in value.marks)


def _footnotes(table: Table, columns: Sequence[Column]) -> list[tuple[str, str]]:
    used = {m for row in table.rows for c in columns for m in row.values.get(c.key, _EMPTY).marks}
    return [(mark, text) for mark, text in table.footnotes if mark in used]


def _plain(table: Table, columns: Sequence[Column]) -> str:
    notes = [f"{markup.PLAIN.mark(mark).strip()} {text}" for mark, text in _footnotes(table, columns)]
    return _paragraphs(table.caption, _body(table, columns, markup.PLAIN, "simple"), "\n".join(notes))


def _github(table: Table, columns: Sequence[Column]) -> str:
    style = markup.MARKDOWN
    notes = [f"{style.mark(mark)} {style.text(text)}" for mark, text in _footnotes(table, columns)]
    return _paragraphs(style.text(table.caption), _body(table, columns, style, "github"), "  \n".join(notes))


def _latex(table: Table, columns: Sequence[Column]) -> str:
    style = markup.LATEX
    notes = [rf"{style.mark(mark)} {style.text(text)}\\" for mark, text in _footnotes(table, columns)]
    return _paragraphs(
        rf"% {' '.join(table.caption.split())}", _body(table, columns, style, "latex_raw"), "\n".join(notes)
    )


def html_fragment(table: Table, columns: Sequence[Column] | None = None) -> str:
    """Return caption, table and footnotes as HTML without a page around them."""
    shown = [column for column in table.columns if column.shown] if columns is None else columns
    style = markup.HTML
    head = "".join(f'<th scope="col"{_css(column)}>{html.escape(column.heading)}</th>' for column in shown)
    rows = [
        f'<tr class="{row.kind}">' + "".join(f"<td{_css(c)}>{_text(row, c, style)}</td>" for c in shown) + "</tr>"
        for row in table.rows
    ]
    notes = "".join(f"<li>{style.mark(m)} {style.text(text)}</li>" for m, text in _footnotes(table, shown))
    return _paragraphs(
        f'<p class="caption">{html.escape(table.caption)}</p>' if table.caption else "",
        "\n".join(
            [f'<div class="wide"><table><thead><tr>{head}</tr></thead>', "<tbody>", *rows, "</tbody></table></div>"]
        ),
        f'<ul class="footnotes">{notes}</ul>' if notes else "",
    )


def _css(column: Column) -> str:
    return ' class="number"' if column.numeric else ""


def _paragraphs(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


# ----------------------------------------------------------------------------------------------------------------------
# For programs


def _plain_values(table: Table, columns: Sequence[Column]) -> tuple[list[str], list[list[str | int | float | None]]]:
    """Return a header and the values of each row; the parts of a value follow it."""
    header = [name for c in columns for name in (c.name, *(f"{c.key} {part}" for part in c.parts))]
    rows: list[list[str | int | float | None]] = []
    for row in table.rows:
        fields: list[str | int | float | None] = [row.kind]
        for column in columns:
            value = row.values.get(column.key, _EMPTY)
            fields += [value.raw, *(value.parts.get(part) for part in column.parts)]
        rows.append(fields)
    return ["kind", *header], rows


def _csv(table: Table, columns: Sequence[Column]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    header, rows = _plain_values(table, columns)
    lines: list[Sequence[object]] = [header, *rows]
    for row in lines:
        writer.writerow([markup.spreadsheet(field) if isinstance(field, str) else field for field in row])
    return stream.getvalue()


def _json(table: Table, columns: Sequence[Column]) -> str:
    rows = []
    for row in table.rows:
        values: dict[str, Any] = {"kind": row.kind}
        for column in columns:
            value = row.values.get(column.key, _EMPTY)
            parts = {part: value.parts.get(part) for part in column.parts}
            values[column.key] = {"value": value.raw, **parts} if column.parts else value.raw
        rows.append(values)
    described = [{"key": c.key, "unit": c.unit, "direction": c.direction} for c in columns]
    notes = [{"mark": mark, "text": text} for mark, text in table.footnotes]
    data = msgspec.json.encode({"caption": table.caption, "columns": described, "rows": rows, "footnotes": notes})
    return msgspec.json.format(data, indent=2).decode() + "\n"


_RENDERERS: dict[str, Callable[[Table, Sequence[Column]], str]] = {
    "github": _github,
    "csv": _csv,
    "latex": _latex,
    "json": _json,
    "html": html_fragment,
    "plain": _plain,
}
