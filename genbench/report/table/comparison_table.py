"""The comparison table: a row for every planned cell, reference rows last, shared settings in the caption."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from genbench.api.evaluation import Direction
from genbench.api.options import OptionValue
from genbench.api.recipe import RECIPE_FIELDS
from genbench.report.table import seeds
from genbench.report.table.best import mark_best
from genbench.report.table.comparability import by_machine, dataset_key, mark_conflicts
from genbench.report.table.layout import (
    Column,
    Footnotes,
    Row,
    Table,
    Value,
    clean,
)
from genbench.report.table.letters import add_letters
from genbench.report.table.outcome import CellOutcome, outcomes_of
from genbench.report.table.race_column import add_race, race_caption, race_columns
from genbench.report.table.references import (
    Reference,
    chosen_distances,
    held_out_rows,
    mark_ends_of_scale,
    reference_rows,
    references_of,
    unsuited_metrics,
)
from genbench.report.table.scaling import SCALING, add_scaling, several_processes
from genbench.report.table.settings import (
    Settings,
    caption,
    changed_settings,
    divide,
    most_frequent,
    notes_by_peers,
    peer_key,
)
from genbench.report.table.targets import add_targets, target_columns, targets_of
from genbench.report.table.values import COUNTER_COLUMNS, OPTIONAL_PARTS, cell_row, sampler_evaluations, sampler_speed
from genbench.results.schema import CellResult, ReferenceRow, Target
from genbench.results.store import RunContents

HEADLINE = 2  # metrics that are shown even where a line is short: the first ones

__all__ = ["Column", "Row", "Table", "Value", "make_table", "table_of_cells"]


def make_table(*runs: RunContents, over_seeds: bool | None = False, targets: Sequence[Target] | None = None) -> Table:
    """Return the table of all planned cells of these runs, with the reference rows of each dataset.

    With `over_seeds`, cells that differ only in the seed form one row: see `genbench.report.table.seeds`. With None,
    they do if there are such cells. Without `targets`, the table shows the time to quality for those with which the
    runs were planned.
    """
    return table_of_cells(outcomes_of(runs), runs, over_seeds, targets)


def table_of_cells(
    cells: Sequence[CellOutcome],
    runs: Sequence[RunContents],
    over_seeds: bool | None = False,
    targets: Sequence[Target] | None = None,
    with_references: bool = True,
    letters: bool = False,
) -> Table:
    """Return the table of some cells of these runs, by default with the reference rows of their datasets.

    Cells of one machine stand together, in the order of the plan.
    With `letters`, metrics over seeds have those of `genbench.report.table.letters`. See `make_table` for the other
    arguments.
    """
    cells = by_machine(cells)
    wanted = targets_of(runs) if targets is None else targets
    datasets = {dataset_key(cell.planned.identity) for cell in cells}
    references = [found for found in references_of(runs) if dataset_key(found.result) in datasets]
    groups = seeds.groups(cells)
    if over_seeds is None:
        over_seeds = any(len(group.cells) > 1 for group in groups)
    swept = [name for run in runs for name in run.record.swept]
    given = [group.settings for group in groups] if over_seeds else [cell.settings for cell in cells]
    settings = divide(given, swept)
    metrics = _metric_columns(cells, references if with_references else [])
    columns = _columns(cells, given, settings, metrics, wanted, runs)
    notes = Footnotes()
    usual = {name: most_frequent([cell.settings.get(name) for cell in cells]) for name in settings.implied}
    of_models = notes_by_peers(given, settings.noted)
    rows = [
        cell_row(cell, notes, usual, of_models.get(peer_key(cell.settings), ""), with_settings=not over_seeds)
        for cell in cells
    ]
    rows = add_race(rows, runs)
    rows = add_scaling(rows, notes)
    rows = add_targets(rows, wanted, notes)
    rows = mark_conflicts(rows, wanted, notes)
    if over_seeds:
        columns = seeds.pooled_columns(columns, settings)
        rows = seeds.pooled_rows(groups, rows, notes)
    real = held_out_rows(references)
    rows = [mark_ends_of_scale(row, metrics, real, notes) for row in rows]
    rows, best = mark_best(rows, columns, notes)
    rows, columns, about_letters = (
        add_letters(rows, columns, [column.key for column in metrics]) if letters else (rows, columns, "")
    )
    rows += reference_rows(references, cells, notes) if with_references else []
    listing = notes.listing()
    unique = {column.key: column for column in reversed(columns)}  # a plugin's metric may have the name of a column
    left_out = [f"left out: {id}: {why}" for run in runs for id, why in run.left_out.items()]
    errors, unsuited = seeds.describe_errors(groups, rows, over_seeds), unsuited_metrics(references)
    changed = dict.fromkeys(name for cell in cells for name in changed_settings(cell.planned))
    said = (*chosen_distances(references), errors, *race_caption(runs), *dict.fromkeys(unsuited), *left_out)
    about = filter(None, (caption(settings.shared, changed), *said))
    return Table(
        columns=tuple(column for column in columns if unique[column.key] is column),
        rows=tuple(_with_notes(row, listing) for row in rows),
        caption=clean(" · ".join(about), 2000),
        footnotes=listing,
        best=best,
        letters=about_letters,
    )


def _columns(
    cells: Sequence[CellOutcome],
    given: Sequence[Mapping[str, OptionValue]],
    settings: Settings,
    metrics: Sequence[Column],
    wanted: Sequence[Target],
    runs: Sequence[RunContents],
) -> list[Column]:
    shared = [name for name in settings.shared if name not in ("run", "model")]
    several, gpu = several_processes(cells), _any(cells, _has_gpu_memory)
    return [
        Column("run", shown=len(runs) > 1, naming=True),
        Column("model", naming=True),
        *(Column(name, numeric=_numeric(name, given), naming=True) for name in settings.varying),
        Column("status"),
        *race_columns(runs),
        Column("images/s", direction="higher", parts=("low", "high"), numeric=True),
        Column(SCALING, direction="higher", numeric=True, shown=several, exported=several),
        Column("parameters", numeric=True, detail=3),
        Column("FLOP/image", numeric=True, detail=5, shown=_any(cells, lambda result: result.flops_per_image)),
        Column("FLOP/sample", numeric=True, detail=5, shown=_any(cells, _samples_cost_more)),
        Column("NFE", numeric=True, detail=4, shown=_any(cells, _evaluates_often)),
        Column("samples/s", direction="higher", numeric=True, detail=4, shown=_any(cells, _sampling_matters)),
        Column("peak memory", unit="MiB", direction="lower", numeric=True, detail=3),
        *([Column("peak GPU memory", unit="MiB", direction="lower", numeric=True, detail=3)] if gpu else []),
        Column("energy/image", unit="mJ", direction="lower", numeric=True, detail=2, shown=_any(cells, _has_energy)),
        *metrics,
        *(column for label in _samplers(cells) for column in _sampler_columns(label, cells)),
        *_best_columns(cells),
        *target_columns(wanted),
        Column("time", unit="s", numeric=True),
        Column("evaluation time", unit="s", numeric=True, detail=4),
        *(Column(key, numeric=True, shown=False) for key in ("training time", "steps done", "images seen")),
        *(Column(key, unit=unit, numeric=True, shown=False) for key, unit in COUNTER_COLUMNS.items()),
        *(Column(name, numeric=_numeric(name, given), shown=False) for name in (*settings.implied, *settings.noted)),
        *(Column(name, numeric=_numeric(name, given), shown=False) for name in (*shared, *settings.unsaid)),
        *(Column(name, shown=False) for name in RECIPE_FIELDS if name not in settings.names),  # empty in every row
        Column("id", shown=False),
        Column("notes", shown=False),
    ]


def _metric_columns(cells: Sequence[CellOutcome], references: Sequence[Reference]) -> list[Column]:
    directions: dict[str, Direction | None] = {}
    optional: dict[str, set[str]] = {}
    sources: list[CellResult | ReferenceRow] = [cell.result for cell in cells if cell.result]
    for source in [*sources, *(reference.row for reference in references)]:
        for estimate in source.estimates:
            directions[estimate.metric] = estimate.direction
            stated = [part for part in OPTIONAL_PARTS if getattr(estimate, part) is not None]
            optional.setdefault(estimate.metric, set()).update(stated)
        for missing in source.unavailable if isinstance(source, CellResult) else ():  # noise has no classes: no column
            directions.setdefault(missing.metric, None)
    return [
        Column(
            name,
            direction=way,
            parts=("standard_error", *(part for part in OPTIONAL_PARTS if part in optional.get(name, ()))),
            numeric=True,
            detail=int(place >= HEADLINE),
        )
        for place, (name, way) in enumerate(directions.items())
    ]


def _with_notes(row: Row, listing: Sequence[tuple[str, str]]) -> Row:
    marks = {mark for value in row.values.values() for mark in value.marks}
    text = "; ".join(text for mark, text in listing if mark in marks)
    return row.updated({"notes": Value(text, text)}) if text else row


def _numeric(name: str, given: Sequence[Mapping[str, OptionValue]]) -> bool:
    types = {type(own[name]) for own in given if name in own}
    return bool(types) and types <= {int, float}


def _best_columns(cells: Sequence[CellOutcome]) -> list[Column]:
    """Return two columns for each metric that selected some cell's best weights: its value and its images."""
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


def _has_energy(result: CellResult) -> bool:
    return result.energy is not None and result.energy.joules_per_image is not None


def _samples_cost_more(result: CellResult) -> bool:
    """Say whether generating an image costs more than training on one, as with many passes through a network."""
    return (result.flops_per_sample or 0) > (result.flops_per_image or math.inf)


def _sampling_matters(result: CellResult) -> bool:
    return bool(result.sampler_speeds) or _samples_cost_more(result)


def _evaluates_often(result: CellResult) -> bool:
    """Say whether an image takes more than one evaluation of a network, by any sampler."""
    return max([result.evaluations_per_sample or 0, *result.sampler_evaluations.values()]) > 1


def _sampler_columns(label: str, cells: Sequence[CellOutcome]) -> list[Column]:
    often = _any(cells, _evaluates_often)
    return [
        Column(sampler_evaluations(label), numeric=True, detail=4, shown=often),
        Column(sampler_speed(label), direction="higher", numeric=True, detail=4),
    ]


def _samplers(cells: Sequence[CellOutcome]) -> list[str]:
    """Return the labels of the further samplers of all cells."""
    return list(dict.fromkeys(label for cell in cells if cell.result for label in cell.result.sampler_speeds))


def _any(cells: Sequence[CellOutcome], known: Callable[[CellResult], object]) -> bool:
    return any(cell.result is not None and known(cell.result) for cell in cells)


def _has_gpu_memory(result: CellResult) -> bool:
    return result.memory is not None and result.memory.peak_allocated is not None
