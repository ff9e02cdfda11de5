"""The comparison table: every planned cell a row, reference rows at the end, what all rows share in the caption."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from genbench.exchange import Direction
from genbench.options import OptionValue
from genbench.report import comparable, seeds
from genbench.report.layout import DAGGER, Column, Footnotes, Row, Table, Value, clean
from genbench.report.settings import CAPTION, caption, divide
from genbench.report.values import PlannedRow, cell_row, estimate_values, noted, setting_value
from genbench.results.schema import CellResult, ReferenceResult, ReferenceRow
from genbench.results.store import RunContents

__all__ = ["Column", "Row", "Table", "Value", "make_table"]

_SPEED_COLUMNS = ("images/s", "energy/image", "peak memory", "peak GPU memory", "time", "training time")


@dataclass(frozen=True)
class _Reference:
    run: str
    result: ReferenceResult
    row: ReferenceRow


def make_table(*runs: RunContents, over_seeds: bool = False) -> Table:
    """Return the table of all planned cells of these runs, with the reference rows of each dataset at the end.

    With `over_seeds`, cells that differ in nothing but the seed are one row: see `genbench.report.seeds`.
    """
    cells = [PlannedRow.of(run, planned) for run in runs for planned in run.record.cells]
    references = _references(runs)
    groups = seeds.groups(cells) if over_seeds else []
    settings = divide([group.settings for group in groups] if over_seeds else [cell.settings for cell in cells])
    metrics = _metric_columns(cells, references)
    shared = [name for name in settings.shared if name not in ("run", "model")]
    columns = [
        Column("run", shown=len(runs) > 1),
        Column("model"),
        *(Column(name, numeric=_numeric(name, cells)) for name in settings.varying),
        Column("status"),
        Column("images/s", direction="higher", parts=("low", "high"), numeric=True),
        Column("parameters", numeric=True),
        Column("FLOP/image", numeric=True, shown=_any(cells, lambda result: result.flops_per_image)),
        Column("peak memory", unit="MiB", direction="lower", numeric=True),
        *([Column("peak GPU memory", unit="MiB", direction="lower", numeric=True)] if _any_gpu(cells) else []),
        Column("energy/image", unit="mJ", direction="lower", numeric=True, shown=_any(cells, _has_energy)),
        *metrics,
        *_best_columns(cells),
        Column("time", unit="s", numeric=True),
        *(Column(key, numeric=True, shown=False) for key in ("training time", "steps done", "images seen")),
        *(Column(name, numeric=_numeric(name, cells), shown=False) for name in settings.told),
        *(Column(name, numeric=_numeric(name, cells), shown=False, exported=name in CAPTION) for name in shared),
        Column("id", shown=False),
        Column("notes", shown=False),
    ]
    notes = Footnotes()
    usual = _usual(settings.told, cells)
    rows = [cell_row(cell, notes, usual) for cell in cells]
    rows = _mark_conflicts(cells, rows, metrics, notes)
    if over_seeds:
        columns = seeds.columns(columns, settings)
        rows = [seeds.pooled_row(group, rows, notes) for group in groups]
    rows += [_reference_row(reference, cells, notes) for reference in references]
    texts = dict(notes.listing())
    unique = {column.key: column for column in reversed(columns)}  # a plugin's metric may bear the name of a column
    return Table(
        columns=tuple(column for column in columns if unique[column.key] is column),
        rows=tuple(_with_notes(row, texts) for row in rows),
        caption=clean(caption(settings.shared), 2000),
        footnotes=notes.listing(),
    )


def _references(runs: Sequence[RunContents]) -> list[_Reference]:
    """List the reference rows of all runs; a row that two runs share is listed once."""
    found: list[_Reference] = []
    for run in runs:
        for result in run.references.results.values():
            known = [other.row for other in found if other.result.id == result.id]
            found += [_Reference(run.name, result, row) for row in result.rows if row not in known]
    return found


def _reference_row(reference: _Reference, cells: Sequence[PlannedRow], notes: Footnotes) -> Row:
    result, row = reference.result, reference.row
    values = {
        "run": setting_value("run", reference.run),
        "model": noted(clean(row.name), result.notes, notes),
        "dataset": setting_value("dataset", result.dataset.name),
        "image shape": setting_value("image shape", "×".join(map(str, result.image_shape))),
        "id": setting_value("id", result.id),
        **estimate_values(row, notes),
    }
    peers = [cell.result for cell in cells if cell.result and _data_of(cell.result) == _data_of(result)]
    for estimate in row.estimates:
        measured = [other for peer in peers for other in peer.estimates if other.metric == estimate.metric]
        differences = comparable.reference_differences(estimate, measured)
        if differences:
            mark = notes.mark(f"{row.name}, {estimate.metric}: {differences}")
            values[estimate.metric] = replace(values[estimate.metric], marks=(mark,))
    return Row("reference", result.id, reference.run, values)


def _metric_columns(cells: Sequence[PlannedRow], references: Sequence[_Reference]) -> list[Column]:
    directions: dict[str, Direction | None] = {}
    sources: list[CellResult | ReferenceRow] = [cell.result for cell in cells if cell.result]
    for source in [*sources, *(reference.row for reference in references)]:
        for estimate in source.estimates:
            directions[estimate.metric] = estimate.direction
        for missing in source.unavailable:
            directions.setdefault(missing.metric, None)
    return [Column(name, direction=way, parts=("standard_error",), numeric=True) for name, way in directions.items()]


def _mark_conflicts(
    cells: Sequence[PlannedRow], rows: Sequence[Row], metrics: Sequence[Column], notes: Footnotes
) -> list[Row]:
    """Mark the numbers that do not compare with others in their column, and say why in the footnotes."""
    results = {number: cell.result for number, cell in enumerate(cells) if cell.result is not None}
    machines = {
        number: (result.identity.device, result.comparability)
        for number, result in results.items()
        if result.comparability is not None
    }
    conflicts: list[tuple[Sequence[str], comparable.Conflict]] = [
        (_SPEED_COLUMNS, conflict) for conflict in comparable.speed_conflicts(machines)
    ]
    for column in metrics:
        measured = {
            number: (_data_of(result), result.comparability.data_hash if result.comparability else "", estimate)
            for number, result in results.items()
            for estimate in result.estimates
            if estimate.metric == column.key
        }
        conflicts += [((column.key,), conflict) for conflict in comparable.metric_conflicts(column.key, measured)]
    marked = list(rows)
    for keys, conflict in conflicts:
        notes.dagger(f"not comparable: {conflict.text}")
        for number in conflict.rows:
            marked[number] = _mark(marked[number], keys)
    return marked


def _mark(row: Row, keys: Sequence[str]) -> Row:
    changed = {
        key: replace(value, marks=(*value.marks, DAGGER))
        for key, value in row.values.items()
        if key in keys and value.raw is not None and DAGGER not in value.marks
    }
    return replace(row, values=row.values | changed)


def _with_notes(row: Row, texts: Mapping[str, str]) -> Row:
    marks = dict.fromkeys(mark for value in row.values.values() for mark in value.marks if mark != DAGGER)
    said = "; ".join(texts[mark] for mark in marks)
    return replace(row, values=row.values | {"notes": Value(said, said)}) if said else row


def _data_of(result: CellResult | ReferenceResult) -> tuple[str, str, tuple[int, int, int]]:
    made_of = result.identity if isinstance(result, CellResult) else result
    return made_of.dataset.name, repr(sorted(made_of.dataset.options.items())), made_of.image_shape


def _numeric(name: str, cells: Sequence[PlannedRow]) -> bool:
    values = [cell.settings[name] for cell in cells if name in cell.settings]
    return bool(values) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _best_columns(cells: Sequence[PlannedRow]) -> list[Column]:
    """Return two columns for each metric by which some cell's best weights were chosen: its value, and when."""
    found: dict[str, Direction] = {}
    for cell in cells:
        best = cell.result.best if cell.result else None
        for estimate in best.estimates if best else []:
            if best is not None and estimate.metric == best.metric:
                found[estimate.metric] = estimate.direction
    columns = []
    for name, direction in found.items():
        columns.append(Column(f"best {name}", direction=direction, parts=("standard_error",), numeric=True))
        columns.append(Column(f"images at best {name}", numeric=True))
    return columns


def _usual(names: Sequence[str], cells: Sequence[PlannedRow]) -> dict[str, OptionValue]:
    """Return the most frequent value of each of these settings; of several, the one that comes first."""
    usual: dict[str, OptionValue] = {}
    for name in names:
        values = [cell.settings.get(name) for cell in cells]
        usual[name] = max(values, key=values.count)
    return usual


def _has_energy(result: CellResult) -> bool:
    return result.energy is not None and result.energy.joules_per_image is not None


def _any(cells: Sequence[PlannedRow], known: Callable[[CellResult], object]) -> bool:
    return any(cell.result is not None and known(cell.result) for cell in cells)


def _any_gpu(cells: Sequence[PlannedRow]) -> bool:
    memories = [cell.result.memory for cell in cells if cell.result]
    return any(memory is not None and memory.peak_allocated is not None for memory in memories)
