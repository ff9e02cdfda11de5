"""What a table is made of: columns, rows, values with their marks, footnotes. Rendering knows nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from genbench.api.evaluation import Direction
from genbench.report.numbers import MISSING

DAGGER = "†"  # marks numbers that do not compare
_ARROWS = {"lower": " ↓", "higher": " ↑", None: ""}
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True)
class Value:
    """One place of the table: what a reader sees, and what a program reads."""

    text: str = MISSING
    raw: str | int | float | None = None
    parts: Mapping[str, float | None] = field(default_factory=dict)  # 'standard_error', or 'low' and 'high'
    marks: tuple[str, ...] = ()  # of its footnotes


@dataclass(frozen=True)
class Column:
    """One column. Those that are not shown are the same in every row, or detail; any can be asked for by its key."""

    key: str
    unit: str = ""
    direction: Direction | None = None  # which values are better
    parts: tuple[str, ...] = ()
    numeric: bool = False
    shown: bool = True
    exported: bool = True  # part of csv and json unless columns are named

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
    """One cell, all seeds of one, or one reference row: what the metrics say of images that no model made."""

    kind: Literal["cell", "reference"]
    id: str
    run: str
    values: dict[str, Value]  # by the key of the column; missing ones are empty


@dataclass(frozen=True)
class Table:
    """What is rendered."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    caption: str  # what all rows share
    footnotes: tuple[tuple[str, str], ...]  # mark and text


class Footnotes:
    """Footnotes in the order of their first use; the same text is written once."""

    def __init__(self) -> None:
        self.marks: dict[str, str] = {}
        self.daggers: list[str] = []

    def mark(self, text: str) -> str:
        """Return the mark of a footnote."""
        return self.marks.setdefault(clean(text), str(len(self.marks) + 1))

    def dagger(self, text: str) -> None:
        """Say why numbers with a dagger do not compare."""
        if clean(text) not in self.daggers:
            self.daggers.append(clean(text))

    def listing(self) -> tuple[tuple[str, str], ...]:
        """Return every mark with its text."""
        return tuple([(mark, text) for text, mark in self.marks.items()] + [(DAGGER, text) for text in self.daggers])


def clean(text: str, limit: int = 400) -> str:
    """Return text in one line without control characters, for what a plugin says must not steer a terminal."""
    line = " ".join(_CONTROL.sub(" ", text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
