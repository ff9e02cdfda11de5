"""Reading runs and writing their pages in several processes at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

import msgspec

from genbench.errors import GenbenchError
from genbench.process.child import answering, ask_child
from genbench.report.board.checks import Checks
from genbench.report.board.output import cache_path, read_cached, write_file
from genbench.report.board.records import CachedRun
from genbench.report.board.run_pages import RunJob, write_run
from genbench.results.files import encode_line
from genbench.results.schema import Record

_FEW = 16  # runs per process, for which starting one does not pay off
_SECONDS = 3600.0  # for one run


class _Question(Record, frozen=True, kw_only=True):
    jobs: list[RunJob]
    checks: Checks


def read_runs(jobs: Sequence[RunJob], checks: Checks, processes: int | None = None) -> Iterator[CachedRun]:
    """Write the pages of each run and yield what a board remembers of it, in any order.

    What is remembered is on the disk by then. Raises `UsageError` if the board cannot be written.

    Args:
        jobs: the runs.
        checks: which of them have been checked.
        processes: how many read at the same time; by default, as many as there are processors.
    """
    wanted = min(processes or os.cpu_count() or 1, len(jobs) // _FEW) if sys.platform != "win32" else 1
    shares = [jobs[number::wanted] for number in range(wanted)] if wanted > 1 else [jobs]
    left = {job.slug: job for job in jobs}
    done: SimpleQueue[str] = SimpleQueue()
    with ThreadPoolExecutor(max_workers=max(len(shares) - 1, 1)) as threads:
        waiting = [threads.submit(_ask, share, checks, done) for share in shares[1:]]
        for job in shares[0]:
            yield _read_here(left.pop(job.slug), checks)
            yield from _arrived(done, left)
        for one in waiting:
            one.result()
        yield from _arrived(done, left)
    for job in left.values():  # of a process that has not finished: here, its error can be told
        yield _read_here(job, checks)


def serve(descriptor: int) -> None:
    """Answer in a child process: read the runs of a question, and name each that is done."""
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=_Question)
    with answering(descriptor) as answer:
        with suppress(GenbenchError):  # the process that asks does the rest, and tells why it cannot
            for job in question.jobs:
                _read_here(job, question.checks)
                answer(job.slug.encode())


def _ask(jobs: Sequence[RunJob], checks: Checks, done: SimpleQueue[str]) -> None:
    question = encode_line(_Question(jobs=list(jobs), checks=checks))
    ask_child(
        "genbench.report.board.reading", question, len(jobs), _SECONDS, lambda line: done.put(line.decode()),
        "reading runs",
    )  # fmt: skip


def _arrived(done: SimpleQueue[str], left: dict[str, RunJob]) -> Iterator[CachedRun]:
    while not done.empty():
        slug = done.get()
        job = left.get(slug)
        cached = read_cached(Path(job.board), slug) if job is not None else None
        if cached is not None:
            del left[slug]
            yield cached


def _read_here(job: RunJob, checks: Checks) -> CachedRun:
    cached = write_run(job, checks)
    # Not flushed to the disk: a torn file is not JSON, and then the run is read again.
    write_file(cache_path(Path(job.board), job.slug), encode_line(cached))
    return cached
