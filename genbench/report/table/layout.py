"""What a table consists of: columns, rows, values with their marks, and footnotes. Rendering needs nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from genbench.api.evaluation import Direction
from genbench.report.numbers import MISSING
from genbench.report.table.outcome import CellOutcome
from genbench.results.schema import CellResult

DAGGER = "†"  # marks numbers that are not comparable
BEST = "*"  # marks the best value of a column where the format has no bold text
_ARROWS = {"lower": " ↓", "higher": " ↑", None: ""}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True)
class Value:
    """One field of the table: what a reader sees, and what a program reads."""

    text: str = MISSING
    raw: str | int | float | None = None
    parts: Mapping[str, float | None] = field(default_factory=dict)  # 'standard_error', or 'low' and 'high'
    marks: tuple[str, ...] = ()  # of its footnotes
    seeds: tuple[float, ...] = ()  # the values behind a mean over seeds
    best: bool = False  # better than every other comparable value of its column, beyond the errors
    letters: str = ""  # of its significance groups: values that share one are not separated


@dataclass(frozen=True)
class Column:
    """One column. Those not shown are the same in every row, or details; any can be requested by its key."""

    key: str
    unit: str = ""
    direction: Direction | None = None  # which values are better
    parts: tuple[str, ...] = ()
    numeric: bool = False
    shown: bool = True
    exported: bool = True  # part of csv and json unless columns are named
    naming: bool = False  # tells rows apart, and is repeated where a table continues below
    lettered: bool = False  # some values have letters
    detail: int = 0  # columns with the highest number are left out first where a line is too short; 0: never

    @property
    def name(self) -> str:
        """The key with its unit."""
        return f"{self.key} ({self.unit})" if self.unit else self.key

    @property
    def heading(self) -> str:
        """The name for a reader, with an arrow towards the better values."""
        return self.name + _ARROWS[self.direction]


@dataclass(frozen=True)
class Row:
    """One cell, all seeds of one cell, or one reference row: the metrics of images that no model made."""

    kind: Literal["cell", "reference"]
    id: str
    run: str
    values: dict[str, Value]  # by the key of the column; missing ones are empty
    cells: tuple[CellOutcome, ...] = ()  # what the row was made from

    @property
    def results(self) -> list[CellResult]:
        """The results of those cells that have one."""
        return [cell.result for cell in self.cells if cell.result is not None]

    def updated(self, values: Mapping[str, Value]) -> Row:
        """Return the row with these values added or replaced."""
        return self if not values else replace(self, values={**self.values, **values})


@dataclass(frozen=True)
class Table:
    """What is rendered."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str  # what all rows share
    footnotes: tuple[tuple[str, str], ...]  # mark and text
    best: str = ""  # what it means that a value is the best; empty if none is
    letters: str = ""  # what the letters mean, or why there are none; empty if nobody asked for them


class Footnotes:
    """Footnotes in the order of their first use; the same text appears once."""

    def __init__(self) -> None:
        self.marks: dict[str, str] = {}
        self.daggers: dict[str, None] = {}

    def mark(self, text: str, limit: int = 400) -> str:
        """Return the mark of a footnote; a longer text than `limit` is cut."""
        return self.marks.setdefault(clean(text, limit), str(len(self.marks) + 1))

    def dagger(self, text: str) -> None:
        """Add a reason why numbers with a dagger are not comparable."""
        self.daggers[clean(text)] = None

    def listing(self) -> tuple[tuple[str, str], ...]:
        """Return every mark with its text."""
        return *((mark, text) for text, mark in self.marks.items()), *((DAGGER, text) for text in self.daggers)


def clean(text: str, limit: int = 400) -> str:
    """Return text in one line without control characters: a plugin's text must not control the terminal."""
    if text.isprintable() and "  " not in text and text == text.strip() and len(text) <= limit:
        return text  # as nearly every text is
    line = " ".join(_CONTROL.sub(" ", text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
