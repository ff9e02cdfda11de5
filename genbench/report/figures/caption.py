"""What a caption must state about a figure: what the rows share, what they are the mean of, and what they are not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genbench.report.charts.row_names import differing_settings, row_names, unnamed_settings
from genbench.report.figures.text import BETTER, drawable
from genbench.report.numbers import count
from genbench.report.table.layout import DAGGER, Column, Row, Table, Value

SIGNATURE = "Facts for the caption of a figure by genbench"  # the first line of the file beside a figure
TWO_ERRORS = "two standard errors to each side"


@dataclass(frozen=True)
class Caption:
    """The facts, each with its subject."""

    title: str
    facts: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """The facts, one a line."""
        lines = [SIGNATURE, "", drawable(self.title), ""]
        lines += [f"{drawable_long(about)}: {drawable_long(said)}" for about, said in self.facts if said]
        return "\n".join(lines) + "\n"


def drawable_long(text: str) -> str:
    """Return text in one line without control characters, however long."""
    return " ".join(drawable(word) for word in text.split())


def table_caption(
    title: str,
    table: Table,
    columns: Sequence[Column] = (),
    *,
    errors: str = "",
    notes: Iterable[tuple[str, str]] = (),
    values: bool = True,
) -> Caption:
    """Return the caption of a figure of a table's rows.

    Args:
        title: what the figure shows.
        table: what the figure was made from.
        columns: the quantities on its axes, with their directions.
        errors: what its error bars and bands mean.
        notes: more facts, each with its subject.
        values: whether to state the value of each row.
    """
    rows = [row for row in table.rows if row.kind == "cell"]
    names = row_names(table)
    facts = [("Shared by all rows", table.caption), ("Cells", _cells(rows)), ("Training seeds", _seeds(rows))]
    facts += [(column.name, BETTER[column.direction]) for column in columns if column.direction]
    facts += [(f"Protocol of {name}", said) for name, said in _protocols(rows, [column.key for column in columns])]
    facts += [("Error bars", errors), *notes]
    unnamed = unnamed_settings(table).items()
    usual = {name: said.removeprefix(f"{name} ") for name, said in unnamed if name != "loss"}
    facts += [(f"{name}, where a name does not state it", said) for name, said in usual.items()]
    footnotes = dict(table.footnotes)
    settings = differing_settings(table)
    facts += [("Marked †", text) for mark, text in table.footnotes if mark == DAGGER]
    for number, row in enumerate(table.rows):
        if values and row.kind == "cell":
            facts.append((drawable(names[number]), _values(row, [*settings, *columns], footnotes)))
    facts += [("Cells by id", "; ".join(f"{row.run}: {row.id}" for row in rows))]
    return Caption(title, tuple(facts))


def _cells(rows: Sequence[Row]) -> str:
    statuses: dict[str, int] = {}
    for row in rows:
        for cell in row.cells:
            statuses[cell.status] = statuses.get(cell.status, 0) + 1
    return ", ".join(f"{count(number)} {status}" for status, number in statuses.items())


def _seeds(rows: Sequence[Row]) -> str:
    seeds = sorted({cell.planned.identity.seed for row in rows for cell in row.cells})
    most = max((len(row.cells) for row in rows), default=0)
    shown = ", ".join(map(str, seeds[:20])) + (" …" if len(seeds) > 20 else "")
    each = f"; each row is the mean of up to {most}" if most > 1 else "; n = 1 for each row: differences may be chance"
    return f"{shown}{each}" if seeds else ""


def _protocols(rows: Sequence[Row], metrics: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for metric in metrics:
        stated = {
            ", ".join([f"n = {count(estimate.n)} images", *(f"{k} {v}" for k, v in estimate.protocol.items())])
            for row in rows
            for cell in row.cells
            if (estimate := cell.estimates.get(metric)) is not None
        }
        found += [(metric, said) for said in sorted(stated)[:10]]
    return found


def _values(row: Row, columns: Sequence[Column], footnotes: dict[str, str]) -> str:
    parts = [f"status {row.values['status'].text}"] if "status" in row.values else []
    for column in columns:
        value = row.values.get(column.key, Value())
        marks = [footnotes[mark] for mark in value.marks if mark in footnotes and mark != DAGGER]
        dagger = DAGGER if DAGGER in value.marks else ""
        parts.append(f"{column.key} {value.text}{dagger}{f' ({drawable_long(marks[0])})' if marks else ''}")
    return ", ".join(parts)
