"""The files of a finished run for readers: table.md, table.csv, a contact sheet and report.html."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from genbench.report.html.contact_sheet import contact_sheet
from genbench.report.html.page import report_page
from genbench.report.table.comparison_table import make_table
from genbench.report.table.layout import Table, clean
from genbench.report.table.render import render
from genbench.report.table.seeds import several
from genbench.results.cell_names import shown_names
from genbench.results.files import read_regular_file
from genbench.results.schema import HELD_OUT, STATUSES
from genbench.results.store import LoadedRun, RunContents, RunDirectory, atomic_write


class Summary(NamedTuple):
    """The table (over seeds if there are several), the files written, and warnings about those that could not be."""

    table: Table
    written: list[Path]
    warnings: list[str]


def write_summary(run: RunDirectory) -> Summary:
    """Write every file for readers from the stored results; a failure is a warning and does not affect the others."""
    contents = run.read()
    tables = {"": make_table(contents)}
    if several([contents]):
        tables = {"": make_table(contents, over_seeds=True), "Each seed": tables[""]}
    table, of_cells = tables[""], list(tables.values())[-1]
    makers: dict[Path, Callable[[], bytes]] = {
        run.path / "table.md": lambda: _markdown(tables).encode(),
        run.path / "table.csv": lambda: render(of_cells, "csv").encode(),
        run.contact_sheet_path: lambda: _contact_sheet(run, contents),
        run.path / "report.html": lambda: report_page([LoadedRun(run, contents)]).encode(),
    }
    summary = Summary(table, [], _lost_results(run.path / "table.csv", contents))
    for path, make in makers.items():
        try:
            path.parent.mkdir(exist_ok=True)
            atomic_write(path, make())
        except Exception as error:  # a failed report must not affect the results, which are safe in cells/
            reason = (error.strerror if isinstance(error, OSError) else None) or f"{type(error).__name__}: {error}"
            remedy = f"The results are safe; `genbench report {run.path}` writes it again."
            summary.warnings.append(f"{path} was not written: {reason}. {remedy}")
        else:
            summary.written.append(path)
    return summary


def _lost_results(previous: Path, contents: RunContents) -> list[str]:
    """Return a warning if the previous table had values of cells whose results are gone."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_regular_file(previous).decode())))
    except (OSError, ValueError, csv.Error):
        return []  # there is no previous table, or none that this version can read
    planned = {cell.id for cell in contents.record.cells} | contents.left_out.keys()
    lost = [
        id
        for row in rows
        if (id := row.get("id") or "") in planned
        and row.get("status") in STATUSES
        and id not in contents.cells.results
        and id not in contents.cells.damaged
    ]
    if not lost:
        return []
    named = ", ".join(map(clean, lost[:5])) + (" …" if len(lost) > 5 else "")
    return [
        f"the previous tables had results that are no longer in {contents.name}/cells, and the new ones are without "
        f"them: {named}. Restore the files from a copy, or measure the cells again with `genbench run --resume`."
    ]


def _markdown(tables: Mapping[str, Table]) -> str:
    parts = [
        f"## {title}\n\n{render(table, 'github')}" if title else render(table, "github")
        for title, table in tables.items()
    ]
    return "\n".join(parts)


def _contact_sheet(run: RunDirectory, contents: RunContents) -> bytes:
    names = {id: clean(name) for id, name in shown_names(contents.record.cells).items()}
    entries = [(names[planned.id], run.sample_path(planned.id)) for planned in contents.record.cells]
    entries += [
        (f"{names[planned.id]} · reconstructions", path)
        for planned in contents.record.cells
        if (path := run.reconstruction_path(planned.id)).exists()
    ]
    entries += [
        (f"{reference.dataset.name} · {HELD_OUT}", path)
        for reference in contents.record.references
        if (path := run.sample_path(reference.id)).exists()
    ]
    stream = io.BytesIO()
    contact_sheet(entries).save(stream, format="PNG")
    return stream.getvalue()
