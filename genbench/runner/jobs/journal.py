"""The journal of the jobs of a run: which were submitted to an engine, so that a resumed run finds them again.

One JSON document per line, appended. A line that a crash cut off is ignored. What has ended is left out once there is
much of it: an engine whose quota is used up refuses jobs again and again.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from genbench.results.files import atomic_write, encode_line
from genbench.runner.jobs.schedule import Attempt

FILE = "journal.jsonl"
_TOKEN = re.compile(r"[0-9a-f]{16}")
_MOST_BYTES = 1 << 20  # of the file, except for jobs that have not ended


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened to a job."""

    # stopped: asked to end with the command; lost: ended, and its task waits for the attempt with this number
    event: Literal["offered", "submitted", "stopped", "lost", "ended"]
    token: str
    task: str = ""  # of an offered or lost job
    attempt: int = 0  # likewise
    executor: str = ""
    job: str = ""  # the engine's name of a submitted job
    state: str = ""  # of an ended job
    reason: str = ""


class OpenJob(msgspec.Struct, frozen=True):
    """A job that has not ended as far as the journal knows; without the engine's name it may not have been taken."""

    attempt: Attempt
    executor: str
    job: str | None
    stopped: bool = False  # asked to end with the command that had submitted it


class Journal:
    """The journal in a folder, which is created with the first entry."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._least = 0  # bytes after the last rewriting

    def write(self, entries: Iterable[Entry]) -> None:
        """Append entries; raises `OSError`."""
        lines = b"".join(encode_line(entry) + b"\n" for entry in entries)
        if not lines:
            return
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("ab") as file:
            file.write(lines)
            size = file.tell()
        if size > 2 * self._least + _MOST_BYTES:
            self._leave_out_ended()

    def open_jobs(self) -> list[OpenJob]:
        """Return the jobs that were offered and have not ended, in the order in which they were offered."""
        found: dict[str, OpenJob] = {}
        for entry in self._read():
            known = found.get(entry.token)
            if entry.event == "offered":
                found[entry.token] = OpenJob(Attempt(entry.token, entry.task, entry.attempt), entry.executor, None)
            elif entry.event == "submitted" and known is not None:
                found[entry.token] = OpenJob(known.attempt, known.executor, entry.job)
            elif entry.event == "stopped" and known is not None:
                found[entry.token] = msgspec.structs.replace(known, stopped=True)
            elif entry.event in ("lost", "ended"):
                found.pop(entry.token, None)
        return [*found.values()]

    def next_attempts(self) -> dict[str, int]:
        """Return the numbers of the attempts for which tasks wait whose last job was lost or stopped."""
        return {entry.task: entry.attempt for entry in self._lost()}

    def _lost(self) -> list[Entry]:
        """Return the last entry of each task that has lost a job, and has none that was submitted after it."""
        tasks: dict[str, str] = {}  # by token
        found: dict[str, Entry] = {}  # by task
        for entry in self._read():
            if entry.event == "offered":
                tasks[entry.token] = entry.task
            elif entry.event == "submitted":
                found.pop(tasks.get(entry.token, ""), None)
            elif entry.event == "lost":
                found[entry.task] = entry
        return [*found.values()]

    def _leave_out_ended(self) -> None:
        entries = [*self._lost(), *(entry for job in self.open_jobs() for entry in _entries_of(job))]
        kept = b"".join(encode_line(entry) + b"\n" for entry in entries)
        atomic_write(self._path, kept)
        self._least = len(kept)

    def _read(self) -> Iterable[Entry]:
        try:
            lines = self._path.read_bytes().splitlines()
        except OSError:
            return
        for line in lines:
            with contextlib.suppress(msgspec.MsgspecError):
                entry = msgspec.json.decode(line, type=Entry)
                if _TOKEN.fullmatch(entry.token):  # it names a folder that will be removed
                    yield entry


def _entries_of(job: OpenJob) -> Iterable[Entry]:
    token, task, number, _ = job.attempt
    yield Entry(event="offered", token=token, task=task, attempt=number, executor=job.executor)
    if job.job is not None:
        yield Entry(event="submitted", token=token, job=job.job)
    if job.stopped:
        yield Entry(event="stopped", token=token)
