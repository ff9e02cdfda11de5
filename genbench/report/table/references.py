"""The scale on which cells are read: what the metrics say of real held-out images and of noise, and the null."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from genbench.api.evaluation import Estimate
from genbench.gate.reference_scale import SIGNIFICANT, differs_from_null, is_better
from genbench.report import numbers
from genbench.report.table import comparability
from genbench.report.table.comparability import Data, data_of
from genbench.report.table.layout import (
    Column,
    Footnotes,
    Row,
    Value,
    clean,
)
from genbench.report.table.values import (
    PlannedRow,
    estimate_values,
    noted,
    setting_value,
)
from genbench.results.schema import HELD_OUT, CellResult, ReferenceResult, ReferenceRow
from genbench.results.store import RunContents

PERFECT = "perfect generator"
WHAT_PERFECT_SCORES = (
    "the null: what as many images are expected to score that are drawn from the distribution of the training images"
)
NOT_TOLD = f"less than {SIGNIFICANT} standard errors from the null: not told from a perfect generator"
TOO_GOOD = (
    f"better than {{}}, by more than {SIGNIFICANT} standard errors: new images of the same distribution would not "
    "be; in a distance it is a sign of memorised training images"
)
_ROUNDING = 1e-3  # nulls that differ by this share are the same to a reader


@dataclass(frozen=True)
class Reference:
    """One stored row of a dataset."""

    run: str
    result: ReferenceResult
    row: ReferenceRow


def listed(runs: Iterable[RunContents]) -> list[Reference]:
    """List the reference rows of all runs; a row that two runs share is listed once."""
    found: list[Reference] = []
    for run in runs:
        for result in run.references.results.values():
            known = [other.row for other in found if other.result.id == result.id]
            found += [Reference(run.name, result, row) for row in result.rows if row not in known]
    return found


def reference_rows(references: Sequence[Reference], cells: Sequence[PlannedRow], notes: Footnotes) -> list[Row]:
    """Return the reference rows of every dataset: what a perfect generator would score stands before the others.

    That row is made from what the cells' own estimates state, so it is there only where they state it.
    """
    rows: list[Row] = []
    seen: set[Data] = set()
    for reference in references:
        data = data_of(reference.result)
        if data not in seen:
            seen.add(data)
            rows += _null_row(data, cells, notes)
        rows.append(_stored_row(reference, cells, notes))
    for data in dict.fromkeys(data_of(cell.planned.identity) for cell in cells):
        if data not in seen:
            rows += _null_row(data, cells, notes)
    return rows


def _null_row(data: Data, cells: Sequence[PlannedRow], notes: Footnotes) -> list[Row]:
    own = [cell for cell in cells if data_of(cell.planned.identity) == data]
    stated: dict[str, list[Estimate]] = {}
    for cell in own:
        for estimate in cell.result.estimates if cell.result else []:
            if estimate.null is not None:
                stated.setdefault(estimate.metric, []).append(estimate)
    if not stated:
        return []
    runs = {cell.run for cell in own}
    values = {
        "model": noted(PERFECT, [WHAT_PERFECT_SCORES], notes),
        "dataset": setting_value("dataset", data[0]),
        "image shape": setting_value("image shape", "×".join(map(str, data[2]))),
        **({"run": setting_value("run", runs.pop())} if len(runs) == 1 else {}),
        **{metric: _null(metric, estimates, notes) for metric, estimates in stated.items()},
    }
    return [Row("reference", "", "", values)]


def _null(metric: str, estimates: Sequence[Estimate], notes: Footnotes) -> Value:
    nulls = {estimate.null: estimate.n for estimate in estimates if estimate.null is not None}
    first = next(iter(nulls))
    if all(math.isclose(null, first, rel_tol=_ROUNDING, abs_tol=1e-12) for null in nulls):
        return Value(numbers.significant(first), first)
    said = ", ".join(f"{numbers.significant(null)} of {numbers.count(n)} images" for null, n in nulls.items())
    return Value("n/a", marks=(notes.mark(f"{metric}: the null differs between the cells: {said}"),))


def _stored_row(reference: Reference, cells: Sequence[PlannedRow], notes: Footnotes) -> Row:
    result, row = reference.result, reference.row
    values = {
        "run": setting_value("run", reference.run),
        "model": noted(clean(row.name), result.notes, notes),
        "dataset": setting_value("dataset", result.dataset.name),
        "image shape": setting_value("image shape", "×".join(map(str, result.image_shape))),
        "id": setting_value("id", result.id),
        **estimate_values(row, notes),
    }
    peers = [cell.result for cell in cells if cell.result and data_of(cell.result.identity) == data_of(result)]
    for estimate in row.estimates:
        measured = [other for peer in peers for other in peer.estimates if other.metric == estimate.metric]
        differences = comparability.reference_differences(estimate, measured)
        if differences:
            mark = notes.mark(f"{row.name}, {estimate.metric}: {differences}")
            values[estimate.metric] = replace(values[estimate.metric], marks=(mark,))
    return Row("reference", result.id, reference.run, values)


def mark_ends_of_scale(
    row: Row, example: CellResult, metrics: Sequence[Column], references: Sequence[Reference], notes: Footnotes
) -> Row:
    """Mark values that are not told from their null, and those that are better than real images.

    Only metrics with a null are looked at. `example` is a cell behind the row, for its data and protocols.
    """
    marked = {}
    for column in metrics:
        value = row.values.get(column.key)
        estimate = next((estimate for estimate in example.estimates if estimate.metric == column.key), None)
        if value is not None and estimate is not None:
            said = _place_on_scale(value, estimate, _held_out(example, estimate, references))
            if said:
                marked[column.key] = replace(value, marks=(*value.marks, notes.mark(said)))
    return replace(row, values=row.values | marked)


def _held_out(cell: CellResult, estimate: Estimate, references: Sequence[Reference]) -> Estimate | None:
    found = (
        other
        for reference in references
        if reference.row.name == HELD_OUT and data_of(reference.result) == data_of(cell.identity)
        for other in reference.row.estimates
        if other.metric == estimate.metric and not comparability.reference_differences(other, [estimate])
    )
    return next(found, None)


def _place_on_scale(value: Value, estimate: Estimate, held_out: Estimate | None) -> str:
    number, null, error = value.raw, value.parts.get("null"), value.parts.get("standard_error")
    if not isinstance(number, int | float) or null is None:
        return ""
    if held_out is not None and is_better(number, error, held_out.value, held_out.standard_error, estimate.direction):
        return TOO_GOOD.format("real held-out images")
    if is_better(number, error, null, 0.0, estimate.direction):
        return TOO_GOOD.format("a perfect generator")
    return NOT_TOLD if differs_from_null(number, error, null) is False else ""
