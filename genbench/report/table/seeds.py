"""One row for cells that differ only in the seed: every measurement as its mean over seeds, with its error.

The error of a single cell covers the noise of sampling one trained model; the spread over seeds covers training as
well. A seed counts if it ended as `ok` or `collapsed`. The status lists the others: leaving them out flatters the mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from genbench.api.evaluation import Estimate
from genbench.api.options import OptionValue
from genbench.report import numbers
from genbench.report.table.comparability import same_protocol
from genbench.report.table.layout import (
    Column,
    Footnotes,
    Row,
    Value,
)
from genbench.report.table.outcome import COUNTING, UNSTORED, CellOutcome
from genbench.report.table.settings import Settings
from genbench.report.table.targets import NOT_REACHED
from genbench.report.table.values import FOOTNOTED, OPTIONAL_PARTS, setting_value
from genbench.results.identity_settings import key_without_seed
from genbench.results.schema import STATUSES
from genbench.stats.intervals import mean_and_error

SAMPLING_ONLY = "the error covers sampling noise only"
WHAT_COUNTS = (
    "values are means over the seeds that ended as ok or collapsed; one that diverged or did not finish has no metrics"
)
_STATUSES = (*STATUSES, *UNSTORED)


@dataclass(frozen=True)
class Group:
    """Cells of one run that differ only in the seed."""

    cells: tuple[CellOutcome, ...]
    settings: dict[str, OptionValue]  # what they share


def groups(cells: Sequence[CellOutcome]) -> list[Group]:
    """Group cells by run and by everything except the seed, in the order of each group's first cell.

    Executed cells are also split by what only execution reveals, such as the machine; a cell that was never executed
    joins the first of the groups planned with the same settings. A run that is given twice counts once.
    """
    planned: dict[tuple[str, bytes], dict[str, CellOutcome]] = {}
    for cell in cells:
        key = (cell.run, key_without_seed(cell.planned.identity))
        planned.setdefault(key, {}).setdefault(cell.planned.id, cell)
    place = {cell: number for number, cell in enumerate(cells)}
    found = [
        Group(tuple(sorted(part, key=place.__getitem__)), _shared(part[0]))
        for alike in planned.values()
        for part in _split(alike.values())
    ]
    return sorted(found, key=lambda group: place[group.cells[0]])


def several_seeds(cells: Sequence[CellOutcome]) -> bool:
    """Say whether some of these cells differ only in the seed."""
    return any(len(group.cells) > 1 for group in groups(cells))


def describe_errors(given: Sequence[Group], rows: Sequence[Row], pooled: bool) -> str:
    """Return what the caption says about the errors of metrics; empty if there are none."""
    most = max((len(group.cells) for group in given), default=0)
    if not any(
        value.parts.get("standard_error") for row in rows if row.kind == "cell" for value in row.values.values()
    ):
        return ""
    if pooled and most > 1:
        return "± is the standard error over training seeds"
    seeds = "" if most > 1 else "n = 1 training seed: "
    return f"{seeds}metric errors cover sampling noise only"


def _split(alike: Iterable[CellOutcome]) -> list[list[CellOutcome]]:
    parts: list[_Part] = []
    others: list[CellOutcome] = []
    for cell in alike:
        if cell.result is None or cell.result.comparability is None:
            others.append(cell)
            continue
        pixels, protocols = cell.result.comparability.data_hash, cell.estimates
        one = _Part([cell], _shared(cell), pixels, protocols)
        part = next((part for part in parts if part.can_be_pooled_with(one)), None)
        if part is None:
            parts.append(one)
        else:
            part.add(one)
    split = [part.cells for part in parts] or [[]]
    split[0] += others
    return split


@dataclass
class _Part:
    """Executed cells that share everything except the seed, including the pixels and the protocols of metrics."""

    cells: list[CellOutcome]
    shared: dict[str, OptionValue]
    pixels: str  # their hash
    protocols: dict[str, Estimate]  # one estimate of each metric: all cells that have the metric agree

    def can_be_pooled_with(self, other: _Part) -> bool:
        """Say whether the cells of both may be pooled."""
        if (self.shared, self.pixels) != (other.shared, other.pixels):
            return False
        both = self.protocols.keys() & other.protocols.keys()
        return all(same_protocol(self.protocols[metric], other.protocols[metric]) for metric in both)

    def add(self, other: _Part) -> None:
        """Add cells that can be pooled with these."""
        self.cells += other.cells
        self.protocols = other.protocols | self.protocols


def _shared(cell: CellOutcome) -> dict[str, OptionValue]:
    return {name: value for name, value in cell.settings.items() if name != "seed"}


def pooled_columns(given: Sequence[Column], settings: Settings) -> list[Column]:
    """Return the columns of pooled rows: `seeds` before the status, and a standard error for every measurement."""
    columns = []
    for column in given:
        if column.key == "status":
            columns.append(Column("seeds", numeric=True))
        measured = column.numeric and column.key not in settings.names
        optional = [part for part in column.parts if part in OPTIONAL_PARTS]
        columns.append(replace(column, parts=("standard_error", *optional)) if measured else column)
    return columns


def pooled_rows(given: Sequence[Group], rows: Iterable[Row], notes: Footnotes) -> list[Row]:
    """Return one row for each group, from the rows of its cells, which need no settings."""
    row_of = {cell: row for row in rows for cell in row.cells}
    return [_pooled_row(group, [row_of[cell] for cell in group.cells], notes) for group in given]


def _pooled_row(group: Group, members: Sequence[Row], notes: Footnotes) -> Row:
    counting = [row for row in members if row.values["status"].text in COUNTING]
    example = next(row for row in members if all(group.settings.keys() <= cell.settings.keys() for cell in row.cells))
    values = {name: setting_value(name, value) for name, value in group.settings.items()}
    values |= {name: example.values[name] for name in FOOTNOTED & example.values.keys()}
    ids = ", ".join(row.id for row in members)
    values["id"] = Value(ids, ids)
    one = (notes.mark(f"one seed: {SAMPLING_ONLY}"),) if len(counting) == 1 else ()
    values["seeds"] = Value(str(len(counting)), len(counting), marks=one)
    values["status"] = _statuses(members, notes)
    measured = dict.fromkeys(key for row in members for key in row.values if key not in values and key != "seed")
    values |= {key: _pooled(key, members, counting, notes) for key in measured}
    return Row("cell", ids, members[0].run, values, group.cells)


def _statuses(members: Sequence[Row], notes: Footnotes) -> Value:
    counts = Counter(row.values["status"].text for row in members)
    text = ", ".join(f"{counts[status]} {status}" for status in _STATUSES if counts[status])
    some = counts.keys() & set(COUNTING) and counts.keys() - {"ok"}
    return Value(text, text, marks=(*_marks(members, "status"), *([notes.mark(WHAT_COUNTS)] if some else [])))


def _pooled(key: str, members: Sequence[Row], counting: Sequence[Row], notes: Footnotes) -> Value:
    marks = _marks(members, key)
    measured = [row.values[key] for row in counting if key in row.values]
    known = {n: value.raw for n, value in enumerate(measured) if isinstance(value.raw, int | float)}
    if not known:
        if len({value.text for value in measured}) == 1:
            return Value(measured[0].text, measured[0].raw, marks=marks)
        return Value("n/a" if measured else numbers.MISSING, marks=marks)
    if len(known) < len(counting):
        only = f": {SAMPLING_ONLY}" if len(known) == 1 and "standard_error" in measured[next(iter(known))].parts else ""
        some = f"{len(known)} of {len(counting)} seeds"
        missed = any(value.text == NOT_REACHED for value in measured)
        marks = (*marks, notes.mark(f"{key}: reached by {some}" if missed else f"{key}: over {some}{only}"))
    single = [measured[n] for n in known]
    mean, error = mean_and_error(list(known.values()))
    raw = mean if error else single[0].raw
    own_error = single[0].parts.get("standard_error")
    parts = {"standard_error": own_error if error is None else error}
    for part in OPTIONAL_PARTS:
        stated = [found for value in single if (found := value.parts.get(part)) is not None]
        parts |= {part: mean_and_error(stated).value} if stated else {}
    return Value(_pooled_text(single, mean, error), raw, parts, marks, tuple(map(float, known.values())))


def _pooled_text(single: Sequence[Value], mean: float, error: float | None) -> str:
    """Return the mean as text; an error of None means a single seed, 0 means that the seeds agree."""
    own = single[0]
    if not own.parts and all(value.text == own.text for value in single):
        return own.text  # 3.58 M parameters, 512 MiB: no meaningful digit differs
    if error:
        return numbers.with_error(mean, error)
    if "low" in own.parts:  # the interval over windows is not an error over seeds
        return numbers.rate(mean)
    return own.text if error is None else numbers.with_error(mean, None)


def _marks(members: Sequence[Row], key: str) -> tuple[str, ...]:
    found = [row.values[key].marks for row in members if key in row.values]
    return tuple(dict.fromkeys(chain.from_iterable(found))) if any(found) else ()
