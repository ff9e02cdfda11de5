"""The journal of the jobs of a run: which were submitted to an engine, so that a resumed run finds them again.

One JSON document per line, appended. A line that a crash cut off is ignored.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from genbench.results.files import encode_line
from genbench.runner.jobs.schedule import Attempt

FILE = "journal.jsonl"
_TOKEN = re.compile(r"[0-9a-f]{16}")


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened to a job."""

    event: Literal["offered", "submitted", "ended"]
    token: str
    task: str = ""  # of an offered job
    attempt: int = 0
    executor: str = ""
    job: str = ""  # the engine's name of a submitted job
    state: str = ""  # of an ended job
    reason: str = ""


class OpenJob(msgspec.Struct, frozen=True):
    """A job that has not ended as far as the journal knows; without the engine's name it may not have been taken."""

    attempt: Attempt
    executor: str
    job: str | None


class Journal:
    """The journal in a folder, which is created with the first entry."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def write(self, entries: Iterable[Entry]) -> None:
        """Append entries; raises `OSError`."""
        lines = b"".join(encode_line(entry) + b"\n" for entry in entries)
        if not lines:
            return
        self._path.parent.mkdir(exist_ok=True)
        with self._path.open("ab") as file:
            file.write(lines)

    def open_jobs(self) -> list[OpenJob]:
        """Return the jobs that were offered and have not ended, in the order in which they were offered."""
        found: dict[str, OpenJob] = {}
        for entry in self._read():
            known = found.get(entry.token)
            if entry.event == "offered":
                found[entry.token] = OpenJob(Attempt(entry.token, entry.task, entry.attempt), entry.executor, None)
            elif entry.event == "submitted" and known is not None:
                found[entry.token] = OpenJob(known.attempt, known.executor, entry.job)
            elif entry.event == "ended":
                found.pop(entry.token, None)
        return [*found.values()]

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
