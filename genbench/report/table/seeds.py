"""One row for cells that differ in nothing but the seed: every measurement as its mean over seeds, with its error.

A cell's own error is that of drawing samples from one trained model; the spread over seeds holds that of training too.
A seed counts where it ended as `ok` or `collapsed`. The others stand in the status: their absence flatters the mean.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from genbench.api.evaluation import Estimate
from genbench.api.options import OptionValue
from genbench.report import numbers
from genbench.report.table.comparability import agree, measured_protocols
from genbench.report.table.layout import (
    Column,
    Footnotes,
    Row,
    Value,
)
from genbench.report.table.settings import Settings
from genbench.report.table.targets import NOT_REACHED
from genbench.report.table.values import BESIDE, PlannedRow
from genbench.results.schema import STATUSES
from genbench.results.store import RunContents
from genbench.stats.intervals import mean_and_error

SAMPLING_ONLY = "the error is that of drawing samples only"
WHAT_COUNTS = (
    "values are means over the seeds that ended as ok or collapsed: a collapsed seed's metrics count, "
    "one that diverged or did not end has none"
)
_COUNTING = ("ok", "collapsed")
_STATUSES = (*STATUSES, "damaged", "not run")


@dataclass(frozen=True)
class Group:
    """Cells of one run that differ in nothing but the seed."""

    cells: tuple[int, ...]  # their numbers
    settings: dict[str, OptionValue]  # what they share


def groups(cells: Sequence[PlannedRow]) -> list[Group]:
    """Group cells by run and by everything but the seed, in the order of each group's first cell.

    What only an executed cell knows, such as its machine, parts executed cells where it differs; a cell that was never
    executed goes with the first of those that were planned like it. A run that is given twice counts once.
    """
    planned: dict[tuple[str, bytes], dict[str, int]] = {}
    for number, cell in enumerate(cells):
        asked = msgspec.structs.replace(cell.planned.identity, seed=0)
        key = (cell.run, msgspec.json.encode(asked, order="deterministic"))
        planned.setdefault(key, {}).setdefault(cell.planned.id, number)
    found = [group for alike in planned.values() for group in _parted(cells, alike.values())]
    return sorted(found, key=lambda group: group.cells)


def several(runs: Iterable[RunContents]) -> bool:
    """Say whether some cells differ in nothing but the seed."""
    cells = [PlannedRow.of(run, planned) for run in runs for planned in run.record.cells]
    return any(len(group.cells) > 1 for group in groups(cells))


def errors(given: Sequence[Group], rows: Sequence[Row], pooled: bool) -> str:
    """Say in the caption what the errors of metrics are those of; empty where there are none."""
    most = max((len(group.cells) for group in given), default=0)
    if not any(
        value.parts.get("standard_error") for row in rows if row.kind == "cell" for value in row.values.values()
    ):
        return ""
    if pooled and most > 1:
        return "± is the standard error over training seeds"
    seeds = "" if most > 1 else "n = 1 training seed: "
    return f"{seeds}errors of metrics are those of drawing samples only"


def _parted(cells: Sequence[PlannedRow], alike: Iterable[int]) -> list[Group]:
    parts: list[_Part] = []
    others: list[int] = []
    for number in alike:
        result = cells[number].result
        if result is None or result.comparability is None:
            others.append(number)
            continue
        one = _Part([number], _shared(cells[number]), result.comparability.data_hash, measured_protocols(result))
        part = next((part for part in parts if part.goes_with(one)), None)
        if part is None:
            parts.append(one)
        else:
            part.take(one)
    numbers = [part.cells for part in parts] or [[]]
    numbers[0] += others
    return [Group(tuple(sorted(part)), _shared(cells[part[0]])) for part in numbers]


@dataclass
class _Part:
    """Executed cells that share everything but the seed, the pixels and the protocols of metrics included."""

    cells: list[int]  # their numbers
    shared: dict[str, OptionValue]
    pixels: str  # their hash
    protocols: dict[str, Estimate]  # one estimate of each metric: all cells that have the metric agree

    def goes_with(self, other: _Part) -> bool:
        """Say whether the cells of both may be pooled."""
        if (self.shared, self.pixels) != (other.shared, other.pixels):
            return False
        both = self.protocols.keys() & other.protocols.keys()
        return all(agree(self.protocols[metric], other.protocols[metric]) for metric in both)

    def take(self, other: _Part) -> None:
        """Take in cells that go with these."""
        self.cells += other.cells
        self.protocols = other.protocols | self.protocols


def _shared(cell: PlannedRow) -> dict[str, OptionValue]:
    return {name: value for name, value in cell.settings.items() if name != "seed"}


def columns(given: Sequence[Column], settings: Settings) -> list[Column]:
    """Return the columns of pooled rows: `seeds` before the status, and a standard error beside every measurement."""
    made = []
    for column in given:
        if column.key == "status":
            made.append(Column("seeds", numeric=True))
        measured = column.numeric and column.key not in (*settings.varying, *settings.told, *settings.shared)
        beside = [part for part in column.parts if part in BESIDE]
        made.append(replace(column, parts=("standard_error", *beside)) if measured else column)
    return made


def pooled_row(group: Group, rows: Sequence[Row], notes: Footnotes) -> Row:
    """Return the row of a group, made of the rows of its cells, which `rows` holds by their numbers."""
    members = [rows[number] for number in group.cells]
    counting = [row for row in members if row.values["status"].text in _COUNTING]
    example = next(row for row in members if group.settings.keys() <= row.values.keys())
    asked = (*group.settings, "variant")  # without a variant, it may still bear a footnote
    values = {name: value for name, value in example.values.items() if name in asked}
    ids = ", ".join(row.id for row in members)
    values["id"] = Value(ids, ids)
    one = (notes.mark(f"one seed: {SAMPLING_ONLY}"),) if len(counting) == 1 else ()
    values["seeds"] = Value(str(len(counting)), len(counting), marks=one)
    values["status"] = _statuses(members, notes)
    measured = dict.fromkeys(key for row in members for key in row.values if key not in values and key != "seed")
    values |= {key: _pooled(key, members, counting, notes) for key in measured}
    return Row("cell", ids, members[0].run, values)


def _statuses(members: Sequence[Row], notes: Footnotes) -> Value:
    counts = Counter(row.values["status"].text for row in members)
    text = ", ".join(f"{counts[status]} {status}" for status in _STATUSES if counts[status])
    some = counts.keys() & set(_COUNTING) and counts.keys() - {"ok"}
    return Value(text, text, marks=(*_marks(members, "status"), *([notes.mark(WHAT_COUNTS)] if some else [])))


def _pooled(key: str, members: Sequence[Row], counting: Sequence[Row], notes: Footnotes) -> Value:
    marks = _marks(members, key)
    measured = [row.values[key] for row in counting if key in row.values]
    known = {n: value.raw for n, value in enumerate(measured) if isinstance(value.raw, int | float)}
    if not known:
        texts = {value.text for value in measured}
        return Value(texts.pop() if len(texts) == 1 else "n/a" if texts else numbers.MISSING, marks=marks)
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
    for part in BESIDE:
        stated = [found for value in single if (found := value.parts.get(part)) is not None]
        parts |= {part: mean_and_error(stated).value} if stated else {}
    return Value(_text(single, mean, error), raw, parts, marks)


def _text(single: Sequence[Value], mean: float, error: float | None) -> str:
    """Return the mean for a reader; an error of None is that of one seed, of 0 that of seeds which agree."""
    own = single[0]
    if not own.parts and all(value.text == own.text for value in single):
        return own.text  # 3.58 M parameters, 512 MiB: no digit that is worth reading differs
    if error:
        return numbers.with_error(mean, error)
    if "low" in own.parts:  # the interval of the windows is no error over seeds
        return numbers.rate(mean)
    return own.text if error is None else numbers.with_error(mean, None)


def _marks(members: Sequence[Row], key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(mark for row in members if key in row.values for mark in row.values[key].marks))
