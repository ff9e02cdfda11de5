"""The pages of one run, with copies of its results and pictures, and what the pages over many runs need of it."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from genbench.errors import GenbenchError
from genbench.gate.history import commit_of, measured_points
from genbench.report.board.cell_data import TableFacts, cell_data
from genbench.report.board.checks import Checks
from genbench.report.board.named_pages import named_pages
from genbench.report.board.output import RUNS, write_file
from genbench.report.board.page_templates import PAGE_ROWS, call_script, page_path, pages_of, render
from genbench.report.board.records import BoardCell, BoardRun, CachedRun
from genbench.report.board.rows import board_rows
from genbench.report.board.slugs import slug
from genbench.report.board.sources import Source, content_hash, results_hash
from genbench.report.html.cell_facts import cell_sections, differing_settings, fact_text
from genbench.report.html.cell_pictures import CAPTIONS, media_type, read_pictures
from genbench.report.repeat_command import repeat_notes, repeat_text
from genbench.report.run_details import damaged_files
from genbench.report.table.comparison_table import table_of_cells
from genbench.report.table.layout import clean
from genbench.report.table.outcome import CellOutcome, outcomes_of
from genbench.report.table.seeds import groups, several_seeds
from genbench.results.cell_names import shown_names
from genbench.results.files import read_regular_file
from genbench.results.schema import CellResult, PlannedCell, Record, RunRecord
from genbench.results.store import RunContents, RunDirectory

_MOST_DAMAGED = 200  # shown on a page
_LONGEST = 2000


class RunJob(Record, frozen=True, kw_only=True):
    """A run to read, and where its pages go."""

    place: str
    is_archive: bool
    slug: str
    board: str
    title: str
    version: str

    @property
    def source(self) -> Source:
        """The run."""
        return Source(Path(self.place), self.is_archive)


@dataclass
class _Files:
    """Files written for a run, by path from the root of the board, with their hashes."""

    board: Path
    hashes: dict[str, str] = field(default_factory=dict)

    def write(self, path: str, content: bytes) -> None:
        write_file(self.board / path, content)
        self.hashes[path] = hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class _Picture:
    kind: str
    caption: str
    file: str = ""
    problem: str = ""


def write_run(job: RunJob, checks: Checks) -> CachedRun:
    """Read a run and write its pages; a run that cannot be read gets a page that says why."""
    files = _Files(Path(job.board))
    signature = job.source.signature()
    try:
        directory = RunDirectory.open(job.source.path)
        contents = directory.read()
    except GenbenchError as error:
        run = BoardRun(
            slug=job.slug, name=clean(job.source.name), place=str(job.source.path), results_hash="", problem=error.cause
        )
        files.write(f"{RUNS}/{job.slug}/index.html", _run_page(job, run, "", {}, 0))
        return CachedRun(
            version=job.version, signature=signature, content=signature, check="", run=run, files=files.hashes
        )
    run = _read(job, checks, directory, contents, files)
    return CachedRun(
        version=job.version, signature=signature, content=content_hash(directory),
        check=checks.about(run.results_hash), run=run, files=files.hashes,
    )  # fmt: skip


def _read(job: RunJob, checks: Checks, directory: RunDirectory, contents: RunContents, files: _Files) -> BoardRun:
    results = results_hash(directory)
    verdict, about_check = checks.verdict(results), checks.about(results)
    outcomes = outcomes_of([contents])
    each = table_of_cells(outcomes, [contents])
    pooled = table_of_cells(outcomes, [contents], over_seeds=True) if several_seeds(outcomes) else each
    names = {id: clean(name) for id, name in shown_names(contents.record.cells).items()}
    slugs = {id: slug(names[id], id, longest=32) for id in names}
    files.write(f"{RUNS}/{job.slug}/plan.json", _copied(directory.record_path))
    row_of = {row.cells[0]: row for row in each.rows if row.kind == "cell"}
    differing, facts = differing_settings(outcomes), TableFacts.of(each)
    pool_of = {cell: f"{job.slug}/{n}" for n, group in enumerate(groups(outcomes)) for cell in group.cells}
    cells = []
    for outcome in outcomes:
        id = outcome.planned.id
        planned, result = _slim(outcome.planned, outcome.result)
        cell = BoardCell(
            slug=slugs[id], name=names[id], status=outcome.status, reason=clean(outcome.reason, _LONGEST),
            planned=planned, result=result,
            file=_copy_result(job, directory, id, slugs[id], files),
        )  # fmt: skip
        pictures = list(_copy_pictures(job, directory, outcome, slugs[id], files))
        data = cell_data(job.slug, cell, outcome, row_of[outcome], facts, contents.name, pool_of[outcome])
        data["pictures"] = {one.kind: f"{RUNS}/{job.slug}/{one.file}" for one in pictures if one.file}
        if not any(one.kind == "training" and one.file for one in pictures):
            data["training"] = None
        files.write(f"{RUNS}/{job.slug}/{cell.slug}.js", call_script("add", data))
        page = render(
            "cell.html", title=f"{cell.name} · {contents.name}", board=job.title, root="../../", cell=cell,
            outcome=outcome, pictures=pictures, sections=cell_sections(outcome, differing),
            command=repeat_text(contents.record, outcome.planned), notes=_notes(contents.record, outcome),
            run_name=contents.name, verdict=verdict, about_check=about_check, cell_key=f"{job.slug}/{cell.slug}",
            has_curves=outcome.result is not None and bool(outcome.result.curves),
        )  # fmt: skip
        files.write(f"{RUNS}/{job.slug}/{cell.slug}.html", page)
        cells.append(cell)
    places = {outcome: number for number, outcome in enumerate(outcomes)}
    rows = board_rows(job.slug, contents.name, verdict, pooled, cells, places)
    record = contents.record
    run = BoardRun(
        slug=job.slug, name=clean(contents.name), place=str(job.source.path), results_hash=results, verdict=verdict,
        created=clean(record.created), genbench=clean(record.genbench), profile=clean(record.profile),
        command=clean(shlex.join(record.command), _LONGEST), commit=clean(commit_of(record.environment)),
        damaged={clean(name): clean(why, _LONGEST) for name, why in damaged_files(contents).items()},
        cells=cells, points=measured_points(contents), rows=rows,
        named=named_pages(outcomes),
    )  # fmt: skip
    for number in range(pages_of(len(cells))):
        path = page_path(f"{RUNS}/{job.slug}/index", number)
        files.write(path, _run_page(job, run, about_check, record.environment, number))
    return run


def _run_page(job: RunJob, run: BoardRun, about_check: str, environment: Mapping[str, Any], number: int) -> bytes:
    damaged = dict(list(run.damaged.items())[:_MOST_DAMAGED])
    facts = {name: fact_text(value) for name, value in environment.items()}
    return render(
        "run.html", title=run.name, board=job.title, root="../../", run=run, number=number,
        pages=pages_of(len(run.cells)), first=number * PAGE_ROWS, last=(number + 1) * PAGE_ROWS, damaged=damaged,
        verdict=run.verdict, about_check=about_check,
        environment={clean(name): text for name, text in facts.items() if text},
    )  # fmt: skip


def _slim(planned: PlannedCell, result: CellResult | None) -> tuple[PlannedCell, CellResult | None]:
    """Return what the pages over many runs need of a cell: what ranking compares, and no settings."""
    identity = msgspec.structs.replace(planned.identity, recipe={}, metrics=(), metric_options=UNSET)
    planned = msgspec.structs.replace(planned, identity=identity, samplers=[])
    if result is None:
        return planned, None
    return planned, CellResult(
        id=result.id, identity=identity, status=result.status, comparability=result.comparability,
        throughput=result.throughput, estimates=result.estimates, best=result.best,
        sampler_speeds=result.sampler_speeds,
    )  # fmt: skip


def _notes(record: RunRecord, outcome: CellOutcome) -> list[str]:
    return [clean(note, _LONGEST) for note in repeat_notes(record, outcome.planned)]


def _copy_result(job: RunJob, directory: RunDirectory, id: str, cell_slug: str, files: _Files) -> str:
    """Copy the result as it is, also a damaged one; return the name of the copy, or '' where there is no file."""
    try:
        content = read_regular_file(directory.cell_path(id))
    except OSError:
        return ""
    files.write(f"{RUNS}/{job.slug}/{cell_slug}.json", content)
    return f"{cell_slug}.json"


def _copied(path: Path) -> bytes:
    try:
        return read_regular_file(path)
    except OSError:
        return b""


def _copy_pictures(
    job: RunJob, directory: RunDirectory, outcome: CellOutcome, cell_slug: str, files: _Files
) -> Iterator[_Picture]:
    for kind, content in read_pictures(directory, outcome).items():
        if isinstance(content, str):
            yield _Picture(kind, CAPTIONS[kind], problem=content)
        else:
            name = f"{cell_slug}-{kind}.{media_type(content).removeprefix('image/')}"
            files.write(f"{RUNS}/{job.slug}/{name}", content)
            yield _Picture(kind, CAPTIONS[kind], name)
