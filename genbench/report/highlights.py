"""What a reader wants to know first, in sentences: what finished, what is fastest, what is best, how sure that is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from genbench.report.charts.frontier import finite, is_at_least_as_good
from genbench.report.numbers import significant
from genbench.report.table.best import Rank, comparable_rows, ranks
from genbench.report.table.layout import Column, Row, Table, clean
from genbench.results.schema import HELD_OUT, NOISE, STATUSES

_MOST_METRICS = 3
_MOST_GROUPS = 3  # of cells that may be compared with each other, for each question
_MOST_NAMED = 4


class Highlight(NamedTuple):
    """One answer: a short question, the answer in one line, and how sure it is."""

    question: str
    answer: str
    certainty: str = ""


def highlights(table: Table, quality: Sequence[Column], names: Sequence[str]) -> list[Highlight]:
    """Return the answers that a table gives.

    Args:
        table: of cells, or of means over seeds.
        quality: columns of metrics, the most important first.
        names: the name of each row.
    """
    cells = [row for row in table.rows if row.kind == "cell"]
    found = [Highlight("Finished", _statuses(cells))]
    speed = next((column for column in table.columns if column.key == "images/s"), None)
    if speed is not None:
        found += _answers("Fastest to train", table, speed, names)
    for column in [column for column in quality if _tells_noise_apart(table, column)][:_MOST_METRICS]:
        found += _answers(f"Best {clean(column.key)}", table, column, names)
    return found


def _tells_noise_apart(table: Table, column: Column) -> bool:
    """Say whether a metric calls real images better than noise; otherwise its best value names no best model."""
    values: dict[str, dict[str, float]] = {}
    for row in table.rows:
        value = finite(row.values.get(column.key))
        if row.kind == "reference" and value is not None:
            dataset = row.values["dataset"].text if "dataset" in row.values else ""
            values.setdefault(dataset, {})[row.values["model"].text] = value
    both = [found for found in values.values() if HELD_OUT in found and NOISE in found]
    return not any(is_at_least_as_good(found[NOISE], found[HELD_OUT], column.direction) for found in both)


def _statuses(rows: Sequence[Row]) -> str:
    counts = Counter(cell.status for row in rows for cell in row.cells)
    total = counts.total()
    if total and counts.keys() == {"ok"}:
        return "the only cell" if total == 1 else f"all {total} cells"
    order = sorted(counts, key=lambda status: [*STATUSES, status].index(status))
    return ", ".join(f"{counts[status]} {status}" for status in order) or "no cells were planned"


def _answers(question: str, table: Table, column: Column, names: Sequence[str]) -> list[Highlight]:
    """Return one answer for each group of comparable rows, the largest groups first."""
    groups = sorted(comparable_rows(table.rows, column).values(), key=len, reverse=True)
    given = ranks(table.rows, column)
    found = [_answer(question, table, column, places, given, names) for places in groups[:_MOST_GROUPS]]
    if len(groups) > _MOST_GROUPS:
        more = len(groups) - _MOST_GROUPS
        found.append(Highlight(question, f"{more} more groups of cells that may not be compared with these"))
    if len(groups) > 1:
        labels = _labels([table.rows[places[0]] for places in groups[:_MOST_GROUPS]])
        labelled = [one._replace(question=f"{question} ({label})") for one, label in zip(found, labels, strict=False)]
        found = [*labelled, *found[len(labelled) :]]
    return found


def _labels(rows: Sequence[Row]) -> list[str]:
    """Return what tells groups of comparable rows apart, from one row of each: the dataset, the machine."""
    datasets = [row.cells[0].planned.identity.dataset.name for row in rows]
    machines = [str(row.cells[0].settings.get("machine", "unknown machine")) for row in rows]
    for labels in (datasets, machines, [f"{one} on {other}" for one, other in zip(datasets, machines, strict=True)]):
        if len(set(labels)) == len(labels):
            return [clean(label) for label in labels]
    return [f"group {number}" for number in range(1, len(rows) + 1)]


def _answer(
    question: str,
    table: Table,
    column: Column,
    places: Sequence[int],
    given: Sequence[Rank | None],
    names: Sequence[str],
) -> Highlight:
    def number(place: int) -> float:
        raw = table.rows[place].values[column.key].raw
        assert isinstance(raw, int | float)  # `comparable_rows` returns no others
        return float(raw)

    ordered = sorted(places, key=number, reverse=column.direction == "higher")
    first = ordered[0]
    text = f"{names[first]}: {table.rows[first].values[column.key].text}{f' {column.unit}' if column.unit else ''}"
    if len(ordered) == 1:
        return Highlight(question, text, "No other cell may be compared with it.")
    second = ordered[1]
    if column.key == "images/s" and number(second) > 0:
        text += f", {significant(number(first) / number(second), 3)} times the speed of {names[second]}"
    else:
        text += f"; next is {names[second]} with {table.rows[second].values[column.key].text}"
    return Highlight(question, text, _certainty(ordered, given, names))


def _certainty(ordered: Sequence[int], given: Sequence[Rank | None], names: Sequence[str]) -> str:
    """Say whether the difference between the first value and the others is real."""
    first = given[ordered[0]]
    unknown = [place for place in ordered if given[place] is None]
    if first is None or unknown:
        named = _listed([names[place] for place in unknown])
        return f"Whether the difference is real is unknown: no error is known for {named}."
    if not first.best:
        tied = [names[p] for p in ordered[1:] if (rank := given[p]) is not None and rank.first <= first.last]
        return f"Not distinguishable from {_listed(tied)}: the difference is within the errors."
    if first.over_seeds:
        return f"The difference exceeds the errors over {first.seeds} training seeds."
    return "The difference exceeds the error of the measurement; another training seed may still change the order."


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:_MOST_NAMED]) + ([f"{len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else [])
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else "it"
