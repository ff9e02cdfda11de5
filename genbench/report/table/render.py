"""A table in one of the formats: sorted, escaped, with its caption and footnotes."""

from __future__ import annotations

import csv
import html
import io
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from genbench.errors import UsageError, near_miss
from genbench.report import markup
from genbench.report.table.comparability import SPEED_COLUMNS
from genbench.report.table.layout import (
    BEST,
    DAGGER,
    Column,
    Row,
    Table,
    Value,
)

FORMATS = ("github", "csv", "latex", "json", "html", "plain")
PAGE_WIDTH = 120  # characters of a line where there is no terminal
READABLE_ROWS = 300  # of a table for people, unless they ask for more
_EMPTY = Value()


def render(
    table: Table,
    format: str,
    sort: str | None = None,
    columns: Sequence[str] | None = None,
    width: int | None = None,
    most_rows: int | None = None,
) -> str:
    """Return `table` as text that ends with a line feed; raise `UsageError` for an unknown format or column.

    Args:
        table: the table.
        format: one of `FORMATS`.
        sort: the key of a column, with a leading '-' for largest first; rows without a value come last, and reference
            rows stay at the end.
        columns: keys in the desired order; without them, ``csv`` and ``json`` contain every setting as raw numbers,
            and the other formats what differs between rows.
        width: characters of a line of ``plain``: details are left out until the rows fit, unless columns are given,
            and what is still too wide continues below; None: any number.
        most_rows: of cells; of more, the first ones are shown, sorted by the first metric if not by `sort`, and the
            caption says so. None: any number.
    """
    if format not in FORMATS:
        raise UsageError(
            f"Unknown format '{format}'.{near_miss(format, FORMATS)}", f"Formats: {', '.join(FORMATS)}.", code="GB101"
        )
    arranged, shown = arrange(table, sort, columns, raw=format in ("csv", "json"), most_rows=most_rows)
    if format == "plain":
        return _plain(arranged, shown, width, all_columns=bool(columns))
    return _RENDERERS[format](arranged, shown)


def records(
    table: Table, sort: str | None = None, columns: Sequence[str] | None = None
) -> list[dict[str, str | int | float | None]]:
    """Return the rows as plain values, with the keys and numbers that ``csv`` has; see `render` for the arguments."""
    header, rows = _plain_values(*arrange(table, sort, columns, raw=True))
    return [dict(zip(header, row, strict=True)) for row in rows]


def arrange(
    table: Table,
    sort: str | None = None,
    columns: Sequence[str] | None = None,
    raw: bool = False,
    most_rows: int | None = None,
) -> tuple[Table, Sequence[Column]]:
    """Return the sorted table and the columns to show: the named ones, or those that this kind of format shows.

    Its footnotes are those of the values in these columns, numbered from 1 in the order of the rows. See `render` for
    the other arguments.
    """
    too_long = most_rows is not None and sum(row.kind == "cell" for row in table.rows) > most_rows
    sort = sort or (_by_first_metric(table) if too_long else None)
    if sort:
        table = _sorted(table, sort)
    if too_long and most_rows is not None:
        table = _beginning(table, most_rows, sort)
    if columns:
        shown: Sequence[Column] = [find_column(table, key) for key in columns]
    else:
        shown = [column for column in table.columns if (column.exported if raw else column.shown)]
    return _numbered(table, shown), shown


def require_columns(table: Table, sort: str | None, columns: Sequence[str] | None) -> None:
    """Raise the errors of `find_column` for the arguments of `render`."""
    for name in (*(columns or ()), *([sort.removeprefix("-")] if sort else [])):
        find_column(table, name)


def find_column(table: Table, name: str) -> Column:
    """Return the column with this key or heading; raise `UsageError` with the nearest key otherwise.

    Upper and lower case count only where columns differ in nothing else.
    """
    wanted = name.strip()
    exact = [column for column in table.columns if wanted in (column.key, column.heading)]
    folded = wanted.casefold()
    alike = [column for column in table.columns if folded in (column.key.casefold(), column.heading.casefold())]
    if exact or len(alike) == 1:
        return (exact or alike)[0]
    if alike:
        raise UsageError(
            f"'{name}' may mean {' or '.join(column.key for column in alike)}.", "Write it as it is.", code="GB107"
        )
    keys = [column.key for column in table.columns]
    raise UsageError(
        f"No column is called '{name}'.{near_miss(name, keys)}", f"Columns: {', '.join(keys)}.", code="GB101"
    )


def _numbered(table: Table, columns: Sequence[Column]) -> Table:
    texts = dict(table.footnotes)
    numbers: dict[str, str] = {}
    dagger = best = lettered = False
    rows = []
    for row in table.rows:
        changed = {}
        for column in columns:
            value = row.values.get(column.key, _EMPTY)
            best, lettered = best or value.best, lettered or bool(value.letters)
            if value.marks:
                for mark in value.marks:
                    if mark != DAGGER:
                        numbers.setdefault(mark, str(len(numbers) + 1))
                dagger = dagger or DAGGER in value.marks
                changed[column.key] = replace(value, marks=tuple(numbers.get(mark, mark) for mark in value.marks))
        rows.append(row.updated(changed) if changed else row)
    listing = [(number, texts[mark]) for mark, number in numbers.items()]
    listing += [(mark, text) for mark, text in table.footnotes if dagger and mark == DAGGER]
    about = table.letters if lettered or not any(column.lettered for column in table.columns) else ""
    return replace(table, rows=tuple(rows), footnotes=tuple(listing), best=table.best if best else "", letters=about)


def _sorted(table: Table, sort: str) -> Table:
    column = find_column(table, sort.removeprefix("-"))
    descending = sort.startswith("-")
    cells = [row for row in table.rows if row.kind == "cell"]
    known = [row for row in cells if row.values.get(column.key, _EMPTY).raw is not None]
    known.sort(key=lambda row: _sort_key(row.values[column.key].raw), reverse=descending)
    missing = [row for row in cells if row.values.get(column.key, _EMPTY).raw is None]
    references = [row for row in table.rows if row.kind == "reference"]
    return replace(table, rows=(*known, *missing, *references))


def _by_first_metric(table: Table) -> str | None:
    """Return how to sort by the first metric that has values, best first; None if there is none."""
    for column in table.columns:
        judged = column.direction is not None and column.shown and column.key not in SPEED_COLUMNS
        if judged and any(
            row.kind == "cell" and row.values.get(column.key, _EMPTY).raw is not None for row in table.rows
        ):
            return column.key if column.direction == "lower" else f"-{column.key}"
    return None


def _beginning(table: Table, most: int, sort: str | None) -> Table:
    """Return the table with its first rows of cells and all reference rows; the caption says what is missing."""
    cells = [row for row in table.rows if row.kind == "cell"]
    order = f" by {sort.removeprefix('-')}" if sort else ""
    said = f"the first {most:,} of {len(cells):,} rows{order} (all: --rows 0)"
    references = [row for row in table.rows if row.kind == "reference"]
    caption = f"{table.caption} · {said}" if table.caption else said
    return replace(table, rows=(*cells[:most], *references), caption=caption)


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
    if style is markup.PLAIN:
        headings = [_folded_heading(column) for column in columns]
    return tabulate(
        rows,
        headers=headings,
        tablefmt=tabulate_format,
        disable_numparse=True,
        colalign=["right" if column.numeric else "left" for column in columns] if rows else None,
    )


def _folded_heading(column: Column) -> str:
    return textwrap.fill(column.heading, 12, break_long_words=False, break_on_hyphens=False)  # a terminal is narrow


def _text(row: Row, column: Column, style: markup.Markup) -> str:
    value = row.values.get(column.key, _EMPTY)
    text = style.text(value.text)
    text = style.best(text) if value.best else text
    text += style.letters(value.letters) if value.letters else ""
    return text + "".join(style.mark(mark) for mark in value.marks)


def _footnotes(table: Table, style: markup.Markup) -> list[tuple[str, str]]:
    """Return each footnote with its mark, escaped; the last ones say what the best value and the letters are."""
    notes = [(style.mark(mark).strip(), style.text(text)) for mark, text in table.footnotes]
    if table.best:
        notes.append((BEST if style is markup.PLAIN else f"{style.best('bold')}:", style.text(table.best)))
    if table.letters:
        notes.append(("letters:", style.text(table.letters)))
    return notes


def _plain(table: Table, columns: Sequence[Column], width: int | None, all_columns: bool) -> str:
    blocks, left_out = [columns], ""
    if width is not None:
        widths = {column.key: _width(table, column) for column in columns}
        fitting = columns if all_columns else _without_details(columns, widths, width)
        blocks = _blocks(fitting, widths, width)
        names = [column.key for column in columns if column not in fitting]
        left_out = f"Not shown: {', '.join(names)}." if names else ""
    table = _numbered(table, [column for block in blocks for column in block])
    notes = [f"{mark} {text}" for mark, text in _footnotes(table, markup.PLAIN)]
    bodies = [_body(table, block, markup.PLAIN, "simple") for block in blocks]
    texts = [_lines(table.caption, width), *bodies, "\n".join(_lines(note, width) for note in notes)]
    return _paragraphs(*texts, _lines(left_out, width))


def _lines(text: str, width: int | None) -> str:
    if width is None:
        return text
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def _width(table: Table, column: Column) -> int:
    heading = max(map(len, _folded_heading(column).split("\n"))) + 2  # tabulate keeps two characters free
    return max([heading, *(len(_text(row, column, markup.PLAIN)) for row in table.rows)])


def _without_details(columns: Sequence[Column], widths: Mapping[str, int], width: int) -> Sequence[Column]:
    """Return the columns that fit into a line, without the last of the most detailed ones as long as they don't."""
    kept = list(columns)
    while _total(kept, widths) > width and (most := max((column.detail for column in kept), default=0)):
        kept.remove([column for column in kept if column.detail == most][-1])
    return kept


def _blocks(columns: Sequence[Column], widths: Mapping[str, int], width: int) -> list[Sequence[Column]]:
    """Return the columns in blocks that fit into a line; each begins with those that name the row."""
    if _total(columns, widths) <= width:
        return [columns]
    naming = [column for column in columns if column.naming]
    blocks: list[list[Column]] = [list(naming)]
    for column in columns:
        if column.naming:
            continue
        if len(blocks[-1]) > len(naming) and _total([*blocks[-1], column], widths) > width:
            blocks.append(list(naming))
        blocks[-1].append(column)
    return list(blocks)


def _total(columns: Sequence[Column], widths: Mapping[str, int]) -> int:
    return sum(widths[column.key] for column in columns) + 2 * (len(columns) - 1)


def _github(table: Table, columns: Sequence[Column]) -> str:
    style = markup.MARKDOWN
    notes = [f"{mark} {text}" for mark, text in _footnotes(table, style)]
    return _paragraphs(style.text(table.caption), _body(table, columns, style, "github"), "  \n".join(notes))


def _latex(table: Table, columns: Sequence[Column]) -> str:
    r"""Return a floating table with the rules of the package booktabs; its label has the names of the runs."""
    style = markup.LATEX
    lines = [" & ".join(_text(row, column, style) for column in columns) + r" \\" for row in table.rows]
    first = next((place for place, row in enumerate(table.rows) if row.kind == "reference"), len(lines))
    if 0 < first < len(lines):
        lines.insert(first, r"\midrule")
    runs = dict.fromkeys(row.run for row in table.rows if row.run)
    label = "-".join(re.sub(r"[^a-z0-9]+", "-", run.casefold()).strip("-") for run in runs)[:80]
    body = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{style.text(table.caption)}}}",
        rf"\label{{tab:{label or 'genbench'}}}",
        rf"\begin{{tabular}}{{{''.join('r' if column.numeric else 'l' for column in columns)}}}",
        r"\toprule",
        " & ".join(style.text(column.heading) for column in columns) + r" \\",
        r"\midrule",
        *lines,
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\footnotesize {mark} {text}" for mark, text in _footnotes(table, style)),
        r"\end{table}",
    ]
    remarks = ["% needs \\usepackage{booktabs}"]
    if not all(map(str.isascii, body)):
        remarks.append("% has characters that need LuaLaTeX or XeLaTeX and a font with them")
    return "\n".join([*remarks, *body]) + "\n"


def html_fragment(table: Table, columns: Sequence[Column] | None = None) -> str:
    """Return caption, table and footnotes as HTML without a page around them."""
    shown = [column for column in table.columns if column.shown] if columns is None else columns
    table, style = _numbered(table, shown), markup.HTML
    head = "".join(f'<th scope="col"{_css(column)}>{html.escape(column.heading)}</th>' for column in shown)
    rows = [
        f'<tr class="{row.kind}">' + "".join(f"<td{_css(c)}>{_text(row, c, style)}</td>" for c in shown) + "</tr>"
        for row in table.rows
    ]
    notes = "".join(f"<li>{mark} {text}</li>" for mark, text in _footnotes(table, style))
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
    """Return a header and the values of each row; the parts of a value follow it, and its letters."""
    header = [name for c in columns for name in (c.name, *(f"{c.key} {part}" for part in (*c.parts, *_letters(c))))]
    rows: list[list[str | int | float | None]] = []
    for row in table.rows:
        fields: list[str | int | float | None] = [row.kind]
        for column in columns:
            value = row.values.get(column.key, _EMPTY)
            fields += [value.raw, *(value.parts.get(part) for part in column.parts)]
            fields += [value.letters or None] if column.lettered else []
        rows.append(fields)
    return ["kind", *header], rows


def _letters(column: Column) -> list[str]:
    return ["letters"] if column.lettered else []


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
            parts: dict[str, Any] = {part: value.parts.get(part) for part in column.parts}
            parts |= dict.fromkeys(_letters(column), value.letters or None)
            values[column.key] = {"value": value.raw, **parts} if parts else value.raw
        rows.append(values)
    described = [{"key": c.key, "unit": c.unit, "direction": c.direction} for c in columns]
    notes = [{"mark": mark, "text": text} for mark, text in table.footnotes]
    whole = {"caption": table.caption, "columns": described, "rows": rows, "footnotes": notes}
    data = msgspec.json.encode(whole | ({"letters": table.letters} if table.letters else {}))
    return msgspec.json.format(data, indent=2).decode() + "\n"


_RENDERERS: dict[str, Callable[[Table, Sequence[Column]], str]] = {
    "github": _github,
    "csv": _csv,
    "latex": _latex,
    "json": _json,
    "html": html_fragment,
}
