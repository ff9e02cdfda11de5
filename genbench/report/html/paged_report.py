"""A report of many cells: an index, and pages of cells that belong together.

One page of thousands of cells would be too large for a browser. A page holds cells of one model, loss and dataset, with
all seeds of a setting, and is what the report of these cells would be, except that its pictures are links.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from genbench.report.charts.frontier import quality_columns, speed_columns
from genbench.report.highlights import highlights
from genbench.report.html.assets import page_style
from genbench.report.html.page import (
    content_security_policy,
    each_once,
    page_environment,
    page_of_cells,
    page_title,
    report_page,
    row_titles,
)
from genbench.report.run_details import frequent_reasons
from genbench.report.table.comparison_table import table_of_cells
from genbench.report.table.layout import DAGGER, Column, Row, Table, clean
from genbench.report.table.outcome import CellOutcome, outcomes_of
from genbench.report.table.seeds import Group, groups
from genbench.results.files import atomic_write
from genbench.results.store import LoadedRun

MOST_CELLS = 300  # of a report in one page
PAGE_CELLS = 100
_MOST_COLUMNS = 4  # of metrics in the index
_PAGE = re.compile(r"page-\d{3,}\.html")
_MARK = b'<meta name="generator" content="genbench">'  # in the head of every page


@dataclass
class _Page:
    name: str  # of the file
    title: str
    groups: list[Group] = field(default_factory=list)

    @property
    def cells(self) -> list[CellOutcome]:
        return [cell for group in self.groups for cell in group.cells]


def write_report(path: Path, runs: Sequence[LoadedRun], only: Collection[tuple[str, str]] | None = None) -> None:
    """Write the report of one or more runs to a file; that of many cells is an index, with its pages in a folder.

    The folder has the name of the file without its suffix. Pages in it that an earlier report has left are removed.
    Raises `OSError` if something cannot be written.

    Args:
        path: of the file.
        runs: see `report_page`.
        only: the cells to show, as names of runs and ids; by default, all.
    """
    folder = path.with_name(path.stem if path.suffix else f"{path.name}-pages")
    if sum(len(run.contents.record.cells) for run in runs) <= MOST_CELLS or (only and len(only) <= MOST_CELLS):
        atomic_write(path, report_page(runs, only).encode())
        _remove_pages(folder, ())
        return
    runs = each_once(runs)
    contents = [run.contents for run in runs]
    outcomes = [one for one in outcomes_of(contents) if only is None or (one.run, one.planned.id) in only]
    folder.mkdir(exist_ok=True)
    pages = _pages(groups(outcomes), several_runs=len(runs) > 1)
    for page in pages:
        title = f"{page_title(runs)} · {page.title}"
        atomic_write(folder / page.name, page_of_cells(runs, page.cells, title, folder).encode())
    table = table_of_cells(outcomes, contents, over_seeds=None)
    atomic_write(path, _index(runs, pages, table, folder.name).encode())
    _remove_pages(folder, {page.name for page in pages})


def _remove_pages(folder: Path, kept: Collection[str]) -> None:
    """Remove the pages of an earlier report, and the folder if nothing else is in it; files of others stay."""
    stale = [path for path in folder.glob("page-*.html") if path.name not in kept and _is_page(path)]
    for path in stale:
        path.unlink()
    if stale and not kept:
        with contextlib.suppress(OSError):  # it is not empty
            folder.rmdir()


def _is_page(path: Path) -> bool:
    """Say whether genbench has written this file: it has the name and the mark of a page."""
    if _PAGE.fullmatch(path.name) is None or not path.is_file():
        return False
    with path.open("rb") as file:
        return _MARK in file.read(2000)


def _pages(found: Iterable[Group], several_runs: bool) -> list[_Page]:
    """Return the pages, none with more than `PAGE_CELLS` cells unless one setting has as many seeds."""
    alike: dict[tuple[str, ...], list[Group]] = {}
    for group in found:
        identity, run = group.cells[0].planned.identity, group.cells[0].run
        names = (identity.model.name, identity.loss.name, identity.dataset.name)
        alike.setdefault((run, *names) if several_runs else names, []).append(group)
    pages: list[_Page] = []
    for key, members in alike.items():
        size = PAGE_CELLS  # the first group begins a page
        for group in members:
            if size + len(group.cells) > PAGE_CELLS:
                pages.append(_Page(f"page-{len(pages) + 1:03d}.html", clean(" · ".join(key))))
                size = 0
            pages[-1].groups.append(group)
            size += len(group.cells)
    titles, seen = Counter(page.title for page in pages), Counter[str]()
    for page in pages:
        seen[page.title] += 1
        if (total := titles[page.title]) > 1:
            page.title = f"{page.title} · {seen[page.title]} of {total}"
    return pages


def _index(runs: Sequence[LoadedRun], pages: Sequence[_Page], table: Table, folder: str) -> str:
    from markupsafe import Markup

    style = page_style()
    row_of = {cell: row for row in table.rows for cell in row.cells}
    columns = [*speed_columns(table)[:1], *quality_columns(table)[:_MOST_COLUMNS]]
    outcomes = [cell for page in pages for cell in page.cells]
    return page_environment().get_template("index.html").render(
        title=page_title(runs),
        policy=content_security_policy("", style),
        style=Markup(style),
        highlights=highlights(table, quality_columns(table), row_titles(table)),
        caption=table.caption,
        columns=[column.heading for column in columns],
        pages=[
            (
                f"{folder}/{page.name}",
                page.title,
                _statuses(page.cells),
                [_best(column, {row_of[cell].id: row_of[cell] for cell in page.cells}.values()) for column in columns],
            )
            for page in pages
        ],
        cells=len(outcomes),
        reasons=frequent_reasons((cell.status, cell.reason) for cell in outcomes),
        tables=[run.directory.shown(run.directory.path / "table.csv") for run in runs],
    )  # fmt: skip


def _statuses(cells: Iterable[CellOutcome]) -> str:
    return ", ".join(f"{count:,} {status}" for status, count in Counter(cell.status for cell in cells).items())


def _best(column: Column, rows: Iterable[Row]) -> str:
    """Return the best value of some rows in a column, as text; values that are not comparable are left out."""
    values = [value for row in rows if (value := row.values.get(column.key)) and DAGGER not in value.marks]
    known = [(float(value.raw), value.text) for value in values if isinstance(value.raw, int | float)]
    if not known:
        return ""
    return (max(known) if column.direction == "higher" else min(known))[1]
