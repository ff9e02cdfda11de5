"""Building a board: the pages of runs that have changed, then every page over many runs whose content has changed."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import msgspec

from genbench import __version__
from genbench.errors import GenbenchError
from genbench.report.board import pages
from genbench.report.board.checks import Checks
from genbench.report.board.output import BOARD_VERSION, BoardFolder, cache_path, write_file
from genbench.report.board.reading import read_runs
from genbench.report.board.records import BoardRun
from genbench.report.board.run_pages import RunJob
from genbench.report.board.slugs import slug
from genbench.report.board.sources import Source, content_hash, find_sources, results_hash
from genbench.report.html.assets import page_script, page_style
from genbench.report.table.layout import clean
from genbench.results.files import encode_line, read_regular_file
from genbench.results.store import RunDirectory

_LARGEST_PLAN = 2**30  # bytes


class Board(NamedTuple):
    """What was built."""

    path: Path
    runs: int
    read: int  # runs that were new or had changed
    written: int  # files
    problems: dict[str, str]  # runs and files that could not be read, with the reason
    duplicates: dict[str, str]  # copies that were left out, with the place of the run that is shown


def build_board(
    paths: Iterable[str | Path],
    out: str | Path,
    title: str = "genbench board",
    checks: Checks | None = None,
    progress: Callable[[int, int], object] = lambda done, total: None,
    processes: int | None = None,
) -> Board:
    """Write a board of all runs at these paths, or bring one up to date; what has not changed is not written again.

    Raises `UsageError` for a path without a run, and for a folder that holds something else or cannot be written.

    Args:
        paths: run directories, archives, and folders that hold them.
        out: the folder of the board.
        title: of the site.
        checks: which runs have been checked.
        progress: called with the numbers of runs done and in total.
        processes: how many read runs at the same time; by default, as many as there are processors.
    """
    title = clean(title)
    folder = BoardFolder(Path(out).expanduser(), title, _version())
    sources, duplicates = _named(find_sources(paths))
    known = checks or Checks()
    jobs = [
        RunJob(
            place=str(source.path), is_archive=source.is_archive, slug=name, board=str(folder.path), title=title,
            version=folder.version,
        )
        for name, source in sources.items()
    ]  # fmt: skip
    pending = [job for job in jobs if not _is_unchanged(job, known, folder)]
    slugs = [job.slug for job in pending]
    with folder.locked():
        folder.begin([*_assets(), *pages.FIXED], slugs)
        for number, cached in enumerate(read_runs(pending, known, processes), start=1):
            folder.remember(cached)
            progress(number, len(pending))
        runs = [folder.remembered[name].run for name in sources]
        made = [pages.Page(path, _hash(content), content.__bytes__) for path, content in _assets().items()]
        made += pages.every_page(runs, title)
        folder.begin([page.path for page in made], slugs)
        for page in made:
            folder.page(page.path, page.key, page.make)
        folder.finish(sources.keys())
    return Board(folder.path, len(runs), len(pending), folder.written, _problems(runs), duplicates)


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _named(sources: Sequence[Source]) -> tuple[dict[str, Source], dict[str, str]]:
    """Return the runs by the names of their folders in the board, and which paths are copies of the same run.

    A plan says when it was made, so runs of one plan are one run, such as a directory and its archive, unless their
    results differ.
    """
    by_plan: dict[str, list[Source]] = {}
    for source in sources:
        by_plan.setdefault(_plan_hash(source), []).append(source)
    found: dict[str, Source] = {}
    duplicates: dict[str, str] = {}
    for plan, alike in by_plan.items():
        known: dict[str, Source] = {}
        for source in alike:
            first = known.setdefault(_results(source) if len(alike) > 1 else "", source)
            if first is not source:
                duplicates[str(source.path)] = str(first.path)
        for number, source in enumerate(known.values()):
            found[slug(source.name, plan, *([str(source.path)] if number else []))] = source
    return found, duplicates


def _results(source: Source) -> str:
    try:
        return results_hash(RunDirectory.open(source.path))
    except GenbenchError:
        return str(source.path)


def _plan_hash(source: Source) -> str:
    try:
        if not source.is_archive:
            return hashlib.sha256(read_regular_file(source.path / "run.json")).hexdigest()
        with zipfile.ZipFile(source.path) as archive, archive.open("run.json") as file:
            return hashlib.sha256(file.read(_LARGEST_PLAN)).hexdigest()
    except Exception:  # whatever is wrong with it, reading the run says so
        return str(source.path)


def _is_unchanged(job: RunJob, checks: Checks, folder: BoardFolder) -> bool:
    """Return whether the pages of a run are those that would be written again."""
    cached = folder.remembered.get(job.slug)
    if cached is None or not folder.is_current or cached.check != checks.about(cached.run.results_hash):
        return False
    if not all(os.path.exists(folder.path / path) for path in cached.files):  # noqa: PTH110 - of many thousand files
        return False
    signature = job.source.signature()
    if cached.signature == signature:
        return True
    try:
        content = content_hash(RunDirectory.open(job.source.path))
    except GenbenchError:
        return False
    if content == cached.content:  # copied or touched
        cached = msgspec.structs.replace(cached, signature=signature)
        write_file(cache_path(folder.path, job.slug), encode_line(cached))
        folder.remembered[job.slug] = cached
        return True
    return False


def _problems(runs: Iterable[BoardRun]) -> dict[str, str]:
    found = {run.place: run.problem for run in runs if run.problem}
    return found | {f"{run.place}/{name}": why for run in runs for name, why in run.damaged.items()}


@cache
def _assets() -> dict[str, bytes]:
    own = {name: _own(f"static/{name}").encode() for name in ("board.js", "history.js", "board.css")}
    shared = {"report.js": page_script().encode(), "report.css": page_style().encode()}
    return {f"assets/{name}": content for name, content in {**shared, **own}.items()}


@cache
def _version() -> str:
    """Return a text that changes when pages would be written in another way."""
    digest = hashlib.sha256(f"{__version__}\0{BOARD_VERSION}\0".encode())
    for content in (*_assets().values(), *_templates()):
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()


def _templates() -> Iterator[bytes]:
    folder = files("genbench.report.board").joinpath("templates")
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        yield entry.read_bytes()


def _own(name: str) -> str:
    return files("genbench.report.board").joinpath(*name.split("/")).read_text("utf-8")
