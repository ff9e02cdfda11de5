"""report.html: runs in one file that needs no network, and no scripts to be complete."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genbench.measure.machine import usable_cores
from genbench.report.charts.curves import X_AXES
from genbench.report.charts.frontier import quality_columns
from genbench.report.charts.race_chart import race_charts
from genbench.report.charts.row_names import row_names
from genbench.report.highlights import highlights
from genbench.report.html.assets import page_script, page_style
from genbench.report.html.cell_facts import Section, cell_sections, differing_settings, fact_text
from genbench.report.html.cell_pictures import CAPTIONS, picture_paths, read_pictures
from genbench.report.html.embedded_pictures import Picture, cell_budget, embedded_pictures, linked_pictures
from genbench.report.html.page_data import as_script, curves_data, frames_data, pools_data, table_data
from genbench.report.html.tuning_section import tuning_sections
from genbench.report.repeat_command import repeat_notes, repeat_text
from genbench.report.run_details import damaged_files
from genbench.report.table.comparison_table import table_of_cells
from genbench.report.table.layout import Table, clean
from genbench.report.table.outcome import CellOutcome, outcomes_of
from genbench.report.table.render import html_fragment
from genbench.report.table.seeds import several_seeds
from genbench.report.table.targets import targets_of
from genbench.results.cell_names import shown_names
from genbench.results.files import read_end
from genbench.results.schema import TrainingSamples
from genbench.results.store import LoadedRun, RunContents, RunDirectory

if TYPE_CHECKING:
    from jinja2 import Environment

_LOG_BYTES = 6_000


@dataclass(frozen=True)
class CellPage:
    """Everything that the page says about one cell."""

    anchor: str
    outcome: CellOutcome
    name: str
    short_name: str  # for charts
    pictures: dict[str, Picture]  # by the keys of `CAPTIONS`
    sections: list[Section]
    log: str  # the end of the log of a cell that did not succeed
    command: str  # repeats the cell
    command_notes: list[str]  # what the command needs

    @property
    def reason(self) -> str:
        """Why the cell did not succeed, in lines."""
        return _clean_lines(self.outcome.reason) if self.outcome.status != "ok" else ""

    @property
    def figures(self) -> list[tuple[str, str, Picture]]:
        """Each picture with its kind and what it shows."""
        return [(kind, CAPTIONS[kind], picture) for kind, picture in self.pictures.items()]

    @property
    def frames(self) -> TrainingSamples | None:
        """What the picture of the samples during training consists of, if it is shown."""
        picture = self.pictures.get("training")
        return self.outcome.result.training_samples if picture and picture.url and self.outcome.result else None


def report_page(runs: Sequence[LoadedRun], only: Collection[tuple[str, str]] | None = None) -> str:
    """Return the page of one or more runs.

    Args:
        runs: their names must differ.
        only: the cells to show, as names of runs and ids; by default, all.
    """
    runs = each_once(runs)
    outcomes = outcomes_of([run.contents for run in runs])
    return page_of_cells(
        runs, [one for one in outcomes if only is None or (one.run, one.planned.id) in only], page_title(runs)
    )


def each_once(runs: Sequence[LoadedRun]) -> list[LoadedRun]:
    """Return the runs; one that is given twice counts once."""
    return list({run.contents.name: run for run in runs}.values())


def page_title(runs: Sequence[LoadedRun]) -> str:
    """Return the title of a page about these runs."""
    return clean("genbench · " + ", ".join(run.contents.name for run in runs[:3]) + (" …" if len(runs) > 3 else ""))


def page_of_cells(
    runs: Sequence[LoadedRun], outcomes: Sequence[CellOutcome], title: str, folder: Path | None = None
) -> str:
    """Return a page about some cells of these runs.

    Args:
        runs: their names differ.
        outcomes: the cells.
        title: of the page.
        folder: where the page will be, if it is to link to pictures; None: it contains them.
    """
    from markupsafe import Markup

    contents = [run.contents for run in runs]
    tables = comparison_tables(outcomes, contents)
    names = [row_titles(table) for table in tables.values()]
    each = list(tables.values())[-1]
    short_names = {cell: name for row, name in zip(each.rows, names[-1], strict=True) for cell in row.cells}
    pictures = _all_pictures(runs, outcomes) if folder is None else _linked_pictures(runs, outcomes, folder)
    cells = _cell_pages(runs, outcomes, short_names, pictures)
    first = next(iter(tables.values()))
    script, style = page_script(), page_style()
    return (
        page_environment()
        .get_template("report.html")
        .render(
            title=title,
            policy=content_security_policy(script, style, links=folder is not None),
            style=Markup(style),
            script=Markup(script),
            data=Markup(as_script(page_data(cells, tables, names, contents))),
            races=race_charts(contents),
            tunings=tuning_sections(runs),
            highlights=highlights(first, quality_columns(first), names[0]),
            tables={title: Markup(html_fragment(table)) for title, table in tables.items()},
            cells=cells,
            runs=[_run_facts(run) for run in runs],
        )
    )


def page_data(
    cells: Sequence[CellPage],
    tables: dict[str, Table],
    names: Sequence[Sequence[str]],
    contents: Sequence[RunContents],
) -> dict[str, Any]:
    """Return what the scripts of the page read."""
    numbers = {cell.outcome: number for number, cell in enumerate(cells)}
    targets = targets_of(contents)
    first = next(iter(tables.values()))
    return {
        "axes": X_AXES,
        "tables": [
            table_data(title, table, own, numbers) for (title, table), own in zip(tables.items(), names, strict=True)
        ],
        "cells": [
            {
                "anchor": cell.anchor,
                "name": cell.name,
                "short": cell.short_name,
                "status": cell.outcome.status,
                "shape": list(cell.outcome.planned.identity.image_shape),
                "training": frames_data(cell.outcome.result) if cell.frames and cell.outcome.result else None,
                **recorded,
            }
            for cell, recorded in zip(cells, curves_data([cell.outcome for cell in cells], targets), strict=True)
        ],
        "pools": pools_data(first, names[0], numbers),
        "targets": [{"metric": t.metric, "value": t.value, "direction": t.direction} for t in targets],
    }


def comparison_tables(cells: Sequence[CellOutcome], runs: Sequence[RunContents]) -> dict[str, Table]:
    """Return the table of these cells by what its rows are; with several seeds, that of the means comes first."""
    each = table_of_cells(cells, runs)
    if not several_seeds(cells):
        return {"each cell": each}
    return {"means over seeds": table_of_cells(cells, runs, over_seeds=True, letters=True), "each cell": each}


def content_security_policy(script: str, style: str, links: bool = False) -> str:
    """Return a policy that permits exactly this script and this style, pictures from data URLs, and nothing else.

    With `links`, it permits pictures from the place of the page too.
    """
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    pictures = "data: 'self'" if links else "data:"
    return (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; img-src {pictures}; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def page_environment() -> Environment:
    """Return the templates of pages; they escape everything."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("genbench.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def row_titles(table: Table) -> list[str]:
    """Return the name of every row, as in the legends of figures; that of a reference row says what it is."""
    names = row_names(table)
    return [
        names[number] if number in names else clean(row.values["model"].text) for number, row in enumerate(table.rows)
    ]


def _cell_pages(
    runs: Sequence[LoadedRun],
    outcomes: Sequence[CellOutcome],
    short_names: Mapping[CellOutcome, str],
    pictures: Mapping[CellOutcome, dict[str, Picture]],
) -> list[CellPage]:
    differing = differing_settings(outcomes)
    found: list[CellPage] = []
    for run in runs:
        shown = [outcome for outcome in outcomes if outcome.run == run.contents.name]
        own = [outcome.planned for outcome in shown]
        names = shown_names(own)
        for outcome, cell in zip(shown, own, strict=True):
            prefix = f"{run.contents.name} · " if len(runs) > 1 else ""
            found.append(
                CellPage(
                    anchor=f"cell-{len(found) + 1}",
                    outcome=outcome,
                    name=clean(prefix + names[cell.id]),
                    short_name=short_names[outcome],
                    pictures=pictures[outcome],
                    sections=cell_sections(outcome, differing),
                    command=repeat_text(run.contents.record, cell),
                    command_notes=repeat_notes(run.contents.record, cell),
                    log="" if outcome.status in ("ok", "not run") else _log(run.directory, cell.id),
                )
            )
    return found


def _all_pictures(runs: Sequence[LoadedRun], cells: Sequence[CellOutcome]) -> dict[CellOutcome, dict[str, Picture]]:
    """Return the pictures of each cell; several are compressed at once, as Pillow lets other threads work."""
    directories = {run.contents.name: run.directory for run in runs}
    budget = cell_budget(len(cells))
    with ThreadPoolExecutor(max_workers=round(usable_cores()) or 1) as threads:
        found = threads.map(lambda cell: embedded_pictures(read_pictures(directories[cell.run], cell), budget), cells)
        return dict(zip(cells, found, strict=True))


def _linked_pictures(
    runs: Sequence[LoadedRun], cells: Sequence[CellOutcome], folder: Path
) -> dict[CellOutcome, dict[str, Picture]]:
    """Return the pictures of each cell as links from a page in `folder`; an archive has none to link to."""
    directories = {run.contents.name: run.directory for run in runs if run.directory.archive is None}
    return {
        cell: linked_pictures(picture_paths(directories[cell.run], cell), folder) if cell.run in directories else {}
        for cell in cells
    }


def _log(run: RunDirectory, id: str) -> str:
    try:
        text = read_end(run.log_path(id), _LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    return _clean_lines(text)


def _clean_lines(text: str) -> str:
    return "\n".join(line[: len(line) - len(line.lstrip(" "))] + clean(line, 1000) for line in text.splitlines())


def _run_facts(run: LoadedRun) -> tuple[str, list[tuple[str, str]]]:
    """Return the name of a run and what is stated about it."""
    contents, record = run.contents, run.contents.record
    facts: dict[str, Any] = {
        "created": record.created,
        "genbench": record.genbench,
        "profile": record.profile,
        "command": shlex.join(record.command),
        "damaged files": damaged_files(contents),
        **record.environment,
    }
    return clean(contents.name), [(clean(name), text) for name, value in facts.items() if (text := fact_text(value))]
