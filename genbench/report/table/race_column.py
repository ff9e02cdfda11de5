"""The column of a raced run: what became of the candidate of each cell."""

from __future__ import annotations

from collections.abc import Sequence

from genbench.report.race_text import UNEQUAL, outcomes, summaries
from genbench.report.table.layout import Column, Row, Value, clean
from genbench.results.store import RunContents

RACE = "race"


def race_columns(runs: Sequence[RunContents]) -> list[Column]:
    """Return the column, if one of these runs has a race."""
    return [Column(RACE)] if any(run.race is not None for run in runs) else []


def add_race(rows: Sequence[Row], runs: Sequence[RunContents]) -> list[Row]:
    """Add to each cell what its race has decided about its candidate."""
    found = {(run.name, id): text for run in runs for id, text in outcomes(run).items()}
    return [
        row.updated({RACE: Value(clean(found[row.run, row.id]), found[row.run, row.id])})
        if (row.run, row.id) in found
        else row
        for row in rows
    ]


def race_caption(runs: Sequence[RunContents]) -> list[str]:
    """Return how each race has ended, and what unequal numbers of seeds mean."""
    found = [text for run in runs for text in summaries(run)]
    return [*found, UNEQUAL] if found else []
