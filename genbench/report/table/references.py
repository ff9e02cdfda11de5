"""The scale for reading metrics: their values for real held-out images, for noise, and the null."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from genbench.api.evaluation import Estimate
from genbench.gate.reference_scale import SIGNIFICANT, differs_from_null, is_better, is_unsuited
from genbench.report import numbers
from genbench.report.table.comparability import DatasetKey, dataset_key, reference_differences
from genbench.report.table.layout import (
    Column,
    Footnotes,
    Row,
    Value,
    clean,
)
from genbench.report.table.outcome import CellOutcome
from genbench.report.table.values import estimate_values, setting_value, with_footnotes
from genbench.results.schema import HELD_OUT, ReferenceResult, ReferenceRow, UsedExtractor
from genbench.results.store import RunContents

PERFECT = "perfect generator"
NULL = "the null: the expected score of the same number of images drawn from the distribution of the training images"
INDISTINGUISHABLE = f"less than {SIGNIFICANT} standard errors from the null: indistinguishable from a perfect generator"
TOO_GOOD = (
    f"better than {{}} by more than {SIGNIFICANT} standard errors, which new images from the same distribution "
    "would not be; for a distance, a sign of memorised training images"
)
_CERTIFICATES = {
    "monotone": "certified: its distance rises at every step of every corruption ({})",
    "undecided": "not certified: whether its distance always rises with corruption is undecided ({})",
    "not monotone": "not certified: its distance does not always rise with corruption ({})",
}
_ROUNDING = 1e-3  # a reader sees nulls that differ by no more than this share as equal


@dataclass(frozen=True)
class Reference:
    """One stored row of a dataset."""

    run: str
    result: ReferenceResult
    row: ReferenceRow


def references_of(runs: Iterable[RunContents]) -> list[Reference]:
    """Return the reference rows of all runs; a row that two runs share appears once."""
    found: list[Reference] = []
    known: dict[str, list[ReferenceRow]] = {}  # by id
    for run in runs:
        for result in run.references.results.values():
            rows = known.setdefault(result.id, [])
            new = [row for row in result.rows if row not in rows]
            rows += new
            found += [Reference(run.name, result, row) for row in new]
    return found


def held_out_rows(references: Iterable[Reference]) -> dict[DatasetKey, list[ReferenceRow]]:
    """Return the rows of real held-out images by dataset."""
    found: dict[DatasetKey, list[ReferenceRow]] = {}
    for reference in references:
        if reference.row.name == HELD_OUT:
            found.setdefault(dataset_key(reference.result), []).append(reference.row)
    return found


def unsuited_metrics(references: Iterable[Reference]) -> list[str]:
    """Say which distances do not suit a dataset, with the scores of its held-out images and of a perfect generator."""
    held_out = [(found.result, found.row) for found in references if found.row.name == HELD_OUT]
    return [
        f"{estimate.metric} does not suit {result.dataset.name}: real held-out images score "
        f"{numbers.with_error(estimate.value, estimate.standard_error)}, a perfect generator "
        f"{numbers.significant(estimate.null)}; it may rank models wrongly, so compare in other features too"
        for result, row in held_out
        for estimate in row.estimates
        if estimate.null is not None
        and estimate.direction == "lower"
        and is_unsuited(estimate.value, estimate.standard_error, estimate.null)
    ]


def chosen_distances(references: Iterable[Reference]) -> list[str]:
    """Say which distances the data chose or were trained on, why, and whether they are certified."""
    found: dict[str, None] = {}
    for reference in references:
        for used in reference.result.extractors:
            found[_about(used, reference.result.dataset.name)] = None
    return list(found)


def _about(used: UsedExtractor, dataset: str) -> str:
    parts = [f"chosen because {used.reason}"] if used.reason else []
    if used.seconds is not None:
        how = f": {used.training}" if used.training else ""
        certificate = _CERTIFICATES.get(used.certificate, "not certified: {}").format(used.remark)
        parts = [f"its network was trained on {dataset}{how}", *parts, certificate]
    return f"{used.distance}: {'; '.join(parts)}"


def reference_rows(references: Sequence[Reference], cells: Sequence[CellOutcome], notes: Footnotes) -> list[Row]:
    """Return the reference rows of every dataset, that of a perfect generator first.

    The score of a perfect generator comes from the cells' own estimates, so the row exists only if they state it.
    """
    rows: list[Row] = []
    own: dict[DatasetKey, list[CellOutcome]] = {}
    for cell in cells:
        own.setdefault(dataset_key(cell.planned.identity), []).append(cell)
    seen: set[DatasetKey] = set()
    for reference in references:
        key = dataset_key(reference.result)
        if key not in seen:
            seen.add(key)
            rows += _null_row(key, own.get(key, []), notes)
        rows.append(_stored_row(reference, own.get(key, []), notes))
    for key, cells_of_dataset in own.items():
        if key not in seen:
            rows += _null_row(key, cells_of_dataset, notes)
    return rows


def _null_row(key: DatasetKey, own: Sequence[CellOutcome], notes: Footnotes) -> list[Row]:
    stated: dict[str, list[Estimate]] = {}
    for cell in own:
        for estimate in cell.result.estimates if cell.result else []:
            if estimate.null is not None:
                stated.setdefault(estimate.metric, []).append(estimate)
    if not stated:
        return []
    runs = {cell.run for cell in own}
    values = {
        "model": with_footnotes(PERFECT, [NULL], notes),
        "dataset": setting_value("dataset", key[0]),
        "image shape": setting_value("image shape", "×".join(map(str, key[2]))),
        **({"run": setting_value("run", runs.pop())} if len(runs) == 1 else {}),
        **{metric: _null(metric, estimates, notes) for metric, estimates in stated.items()},
    }
    return [Row("reference", "", "", values)]


def _null(metric: str, estimates: Sequence[Estimate], notes: Footnotes) -> Value:
    nulls = {estimate.null: estimate.n for estimate in estimates if estimate.null is not None}
    first = next(iter(nulls))
    if all(math.isclose(null, first, rel_tol=_ROUNDING, abs_tol=1e-12) for null in nulls):
        return Value(numbers.significant(first), first)
    found = ", ".join(f"{numbers.significant(null)} for {numbers.count(n)} images" for null, n in nulls.items())
    return Value("n/a", marks=(notes.mark(f"{metric}: the null differs between cells: {found}"),))


def _stored_row(reference: Reference, own: Sequence[CellOutcome], notes: Footnotes) -> Row:
    result, row = reference.result, reference.row
    values = {
        "run": setting_value("run", reference.run),
        "model": with_footnotes(clean(row.name), result.notes, notes),
        "dataset": setting_value("dataset", result.dataset.name),
        "image shape": setting_value("image shape", "×".join(map(str, result.image_shape))),
        "id": setting_value("id", result.id),
        **estimate_values(row, notes),
    }
    peers = [cell.result for cell in own if cell.result]
    metrics_by_difference: dict[str, list[str]] = {}  # one footnote for all metrics that differ in the same way
    for estimate in row.estimates:
        measured = [other for peer in peers for other in peer.estimates if other.metric == estimate.metric]
        differences = reference_differences(estimate, measured)
        if differences:
            metrics_by_difference.setdefault(differences, []).append(estimate.metric)
    for differences, metrics in metrics_by_difference.items():
        mark = notes.mark(f"{row.name}, {', '.join(metrics)}: {differences}")
        values.update({metric: replace(values[metric], marks=(mark,)) for metric in metrics})
    return Row("reference", result.id, reference.run, values)


def mark_ends_of_scale(
    row: Row, metrics: Sequence[Column], held_out: Mapping[DatasetKey, Sequence[ReferenceRow]], notes: Footnotes
) -> Row:
    """Mark values that are indistinguishable from their null, and those that are better than real images.

    Only metrics with a null are considered.
    """
    if not row.results:
        return row
    example = row.results[0]  # all cells of a row share data and protocols
    marked = {}
    real = held_out.get(dataset_key(example.identity), ())
    for column in metrics:
        value = row.values.get(column.key)
        estimate = next((estimate for estimate in example.estimates if estimate.metric == column.key), None)
        if value is not None and estimate is not None:
            remark = _place_on_scale(value, estimate, _held_out(estimate, real))
            if remark:
                marked[column.key] = replace(value, marks=(*value.marks, notes.mark(remark)))
    return row.updated(marked)


def _held_out(estimate: Estimate, rows: Iterable[ReferenceRow]) -> Estimate | None:
    found = (
        other
        for row in rows
        for other in row.estimates
        if other.metric == estimate.metric and not reference_differences(other, [estimate])
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
    return INDISTINGUISHABLE if differs_from_null(number, error, null) is False else ""
