"""The files of a finished run for readers: table.md, table.csv, a contact sheet and report.html."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from genbench.report.html.contact_sheet import contact_sheet
from genbench.report.html.paged_report import write_report
from genbench.report.table.comparison_table import table_of_cells
from genbench.report.table.layout import Table, clean
from genbench.report.table.outcome import outcomes_of
from genbench.report.table.render import READABLE_ROWS, render
from genbench.report.table.seeds import several_seeds
from genbench.results.cell_names import shown_names
from genbench.results.files import read_regular_file
from genbench.results.schema import HELD_OUT, STATUSES
from genbench.results.store import LoadedRun, RunContents, RunDirectory, atomic_write

_MOST_TILES = 300  # cells of a contact sheet; of more, some at equal distances in the plan


class Summary(NamedTuple):
    """The table (over seeds if there are several), the files written, and warnings about those that could not be."""

    table: Table
    written: list[Path]
    warnings: list[str]


def write_summary(run: RunDirectory, contents: RunContents | None = None) -> Summary:
    """Write every file for readers from the stored results; a failure is a warning and does not affect the others.

    Args:
        run: the run.
        contents: what was read of it; None: it is read.
    """
    contents = run.read() if contents is None else contents
    lost = _lost_results(run.path / "table.csv", contents)
    table, texts = _tables(contents)
    summary = Summary(table, [], lost)
    writers: dict[Path, Callable[[Path], None]] = {
        run.path / "table.md": lambda path: atomic_write(path, texts["table.md"].encode()),
        run.path / "table.csv": lambda path: atomic_write(path, texts["table.csv"].encode()),
        run.contact_sheet_path: lambda path: atomic_write(path, _contact_sheet(run, contents)),
        run.path / "report.html": lambda path: write_report(path, [LoadedRun(run, contents)]),
    }
    for path, write in writers.items():
        try:
            path.parent.mkdir(exist_ok=True)
            write(path)
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


def _tables(contents: RunContents) -> tuple[Table, dict[str, str]]:
    """Return the table, over seeds if there are several, and the text of each file; one table at a time is kept."""
    cells = outcomes_of([contents])
    each = table_of_cells(cells, [contents])
    csv_text, each_text = render(each, "csv"), render(each, "github", most_rows=READABLE_ROWS)
    if not several_seeds(cells):
        return each, {"table.md": each_text, "table.csv": csv_text}
    del each
    table = table_of_cells(cells, [contents], over_seeds=True)
    text = render(table, "github", most_rows=READABLE_ROWS)
    each_text = f"## Each seed\n\n{each_text}" if len(cells) <= READABLE_ROWS else "Each seed is in table.csv.\n"
    return table, {"table.md": f"{text}\n{each_text}", "table.csv": csv_text}


def _contact_sheet(run: RunDirectory, contents: RunContents) -> bytes:
    names = {id: clean(name) for id, name in shown_names(contents.record.cells).items()}
    shown = contents.record.cells[:: -(-len(names) // _MOST_TILES) or 1]
    entries = [(names[planned.id], run.sample_path(planned.id)) for planned in shown]
    entries += [
        (f"{names[planned.id]} · reconstructions", path)
        for planned in shown
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
