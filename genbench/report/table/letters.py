"""Letters of significance groups in the table: those of `genbench compare`, for each metric over seeds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from genbench.gate.contrasts import ERROR, contrasts, rankings
from genbench.gate.samples import Member, Sample, samples_of_cell
from genbench.report.table.layout import Column, Row

MOST_ROWS = 60  # of a column: more could not be read, and their pairs grow with the square
NONE = "no letters: they need two comparable rows, each over two or more seeds"
TOO_MANY = f"no letters where more than {MOST_ROWS} rows, or more than 26 groups, would have them"


def letters_of(rows: Sequence[Sequence[Member]], metric: str) -> tuple[dict[int, str], list[Sample]]:
    """Return the letters of each row that has some, by its place, and the samples that were compared.

    A row is one cell over its seeds. Rows over one seed, and those whose own seeds do not compare, have no letters. The
    p-values are corrected for all pairs of these rows.
    """
    samples: dict[int, Sample] = {}
    for place, members in enumerate(rows):
        found = list(samples_of_cell(str(place), members, metric)) if members else []
        if len(found) == 1 and len(found[0].values) > 1:
            samples[place] = found[0]
    if not 2 <= len(samples) <= MOST_ROWS:
        return {}, list(samples.values())
    own = list(samples.values())
    given = {
        id(sample): text
        for group in rankings(own, contrasts(own))
        if len(group.samples) > 1
        for sample, text in zip(group.samples, group.letters, strict=True)
    }
    return {place: text for place, sample in samples.items() if (text := given.get(id(sample), ""))}, own


def add_letters(
    rows: Sequence[Row], columns: Sequence[Column], metrics: Collection[str]
) -> tuple[list[Row], list[Column], str]:
    """Add letters to the values of these metrics; return the rows, the columns, and what the letters mean."""
    members = [
        [Member(cell.planned, cell.result, cell.damage) for cell in row.cells] if row.kind == "cell" else []
        for row in rows
    ]
    found: dict[str, Mapping[int, str]] = {}
    used: list[Sample] = []
    refused = False
    for metric in metrics:
        letters, samples = letters_of(members, metric)
        if letters:
            found[metric] = letters
            used += samples
        refused = refused or (not letters and are_too_many(samples))
    marked = [
        row.updated(
            {
                metric: replace(row.values[metric], letters=letters[place])
                for metric, letters in found.items()
                if place in letters and metric in row.values
            }
        )
        for place, row in enumerate(rows)
    ]
    about = "; ".join([*([meaning(used)] if used else []), *([TOO_MANY] if refused else [])]) or NONE
    return marked, [replace(column, lettered=column.key in found) for column in columns], about


def meaning(samples: Iterable[Sample]) -> str:
    """Return the footnote that explains the letters of these samples."""
    counts = sorted({len(sample.values) for sample in samples})
    seeds = " to ".join(dict.fromkeys(map(str, (counts[0], counts[-1]))))
    return (
        f"comparable values of a column that share a letter are not separated at {100 * ERROR:g} %: paired t where "
        "rows have the same seeds, else Welch's t, p-values corrected for all pairs of the column (Holm); "
        f"{seeds} seeds each"
    )


def are_too_many(samples: Sequence[Sample]) -> bool:
    """Say whether samples without letters could have some if they were fewer: some compare with each other."""
    return len({sample.comparable for sample in samples}) < len(samples)
