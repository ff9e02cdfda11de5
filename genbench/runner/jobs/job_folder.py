"""The folder of a job: what a node gets and what it delivers, as JSON and files of the cell; nothing is unpickled.

``jobs/<token>/`` in the run directory belongs to one attempt. It is laid out like a run directory, so that the worker
writes samples, checkpoints and log there. Only the supervisor moves them to their places, once it has accepted the
result; it then removes the folder. A node whose job folder has gone ends its job: its result is no longer wanted.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec

from genbench.process.messages import Job, Message
from genbench.results.files import atomic_write, encode_json, read_regular_file
from genbench.results.schema import PlannedCell
from genbench.results.store import RunDirectory
from genbench.runner.node_code import Fingerprint
from genbench.runner.run_executor import Outcome, TrialJob

FOLDER = "jobs"  # in the run directory
REQUEST, MESSAGES, RESULT, RUNNING = "request.json", "messages.jsonl", "result.json", "running.json"
_WRITTEN = ("samples", "checkpoints", "logs")  # folders that a worker writes to
_MOST_READ = 1 << 20  # bytes of messages at once
_MOST_UNPACKED = 64 << 30  # bytes of a delivered archive


class PluginFile(msgspec.Struct, frozen=True):
    """A single-file plugin, which travels with the job."""

    name: str  # of the file
    text: str


class NodeJob(msgspec.Struct, frozen=True, kw_only=True):
    """What a node executes."""

    token: str
    job: Job  # its paths are those of the driver
    timeout: float | None  # seconds
    fingerprint: Fingerprint  # of the driver
    plugin_files: list[PluginFile] = []  # in the order of the job's plugins that are files
    directory: str = ""  # where the plan was made: relative paths in options start there
    variables: dict[str, str] = {}  # environment variables that genbench reads
    trial: TrialJob | None = None  # of the conformance kit


class NodeRunning(msgspec.Struct, frozen=True):
    """Who executes the job now: a node that finds another start here ends its own."""

    start: str  # random
    node: str
    pid: int


class NodeResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a node delivers, written last."""

    token: str
    start: str
    outcome: Outcome
    files: dict[str, int]  # path in the folder -> bytes


Delivery: TypeAlias = NodeResult | str  # or why there is none


class JobFolder:
    """The folder of one job."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, payload: bytes, run: RunDirectory, task: str) -> None:
        """Write the request, and put the state of an interrupted training where the worker looks for it."""
        self.create_empty(payload)
        for found in (run.path / "checkpoints").glob(f"{task}.*"):
            place = self.path / "checkpoints" / found.name
            try:
                place.hardlink_to(found)  # checkpoints are replaced, never changed
            except OSError:
                shutil.copyfile(found, place)

    def create_empty(self, payload: bytes) -> None:
        """Write the request."""
        self.path.mkdir(parents=True)
        for name in _WRITTEN:
            (self.path / name).mkdir()
        atomic_write(self.path / REQUEST, payload)

    def request(self) -> NodeJob:
        """Return the request; raise `OSError` or `msgspec.MsgspecError`."""
        return msgspec.json.decode(read_regular_file(self.path / REQUEST), type=NodeJob)

    def running(self) -> NodeRunning | None:
        """Return who executes the job, or executed it last; None: nobody has started. Raises `OSError`."""
        with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError):
            return msgspec.json.decode(read_regular_file(self.path / RUNNING), type=NodeRunning)
        return None

    def messages(self, offset: int) -> tuple[list[Message], int]:
        """Return the complete messages from this position on, and the position after them."""
        try:
            with (self.path / MESSAGES).open("rb") as file:
                file.seek(offset)
                data = file.read(_MOST_READ)
        except OSError:
            return [], offset
        *lines, _ = data.split(b"\n")
        found: list[Message] = []
        for line in lines:
            with contextlib.suppress(msgspec.MsgspecError):
                found.append(msgspec.json.decode(line, type=Message))
        return found, offset + sum(len(line) + 1 for line in lines)

    def files(self) -> dict[str, int]:
        """Return the files that the worker has written, with their sizes."""
        return {path.relative_to(self.path).as_posix(): path.stat().st_size for path in self._written()}

    def deliver(self, result: NodeResult) -> None:
        """Write the result: from now on the job is done."""
        atomic_write(self.path / RESULT, encode_json(result))

    def has_delivered(self) -> bool:
        """Whether a result is there, of whatever job."""
        return (self.path / RESULT).exists()

    def delivery(self, token: str) -> Delivery:
        """Return the result of this attempt if all of it has arrived; otherwise, what is missing."""
        try:
            result = msgspec.json.decode(read_regular_file(self.path / RESULT), type=NodeResult)
        except FileNotFoundError:
            return "it delivered no result"
        except (OSError, msgspec.MsgspecError) as error:
            return f"its result cannot be read ({error})"
        if result.token != token:
            return f"it delivered the result of another job ({result.token[:40]})"
        present = self.files()
        for name, size in result.files.items():
            if present.get(name) != size:
                return f"only a part of its files arrived ({name[:200]} is missing or incomplete)"
        return result

    def move_to(self, run: RunDirectory, task: str, only: Sequence[str] = _WRITTEN) -> None:
        """Move what the worker has written for this task to its places in the run directory, from these folders."""
        for path in self._written():
            if path.parent.name in only and path.name.startswith((f"{task}.", f"{task}-")):
                with contextlib.suppress(FileNotFoundError):
                    path.replace(run.path / path.parent.name / path.name)

    def remove(self) -> None:
        """Remove the folder, at once for whoever looks for it."""
        gone = self.path.with_name(f".{self.path.name}.removed")
        with contextlib.suppress(OSError):
            self.path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def pack(self) -> bytes:
        """Return result and files as one archive."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            for path in [*self._written(), self.path / RESULT]:
                archive.write(path, path.relative_to(self.path))
        return packed.getvalue()

    def unpack(self, packed: bytes) -> str:
        """Put what `pack` returned elsewhere into this folder; return why that was not possible, or an empty string."""
        try:
            with zipfile.ZipFile(io.BytesIO(packed)) as archive:
                members = archive.infolist()
                if sum(member.file_size for member in members) > _MOST_UNPACKED:
                    return "what it delivered is too large"
                for member in sorted(members, key=lambda member: member.filename == RESULT):  # the result is last
                    folder, _, name = member.filename.rpartition("/")
                    if not (folder in _WRITTEN or member.filename == RESULT) or name in ("", ".", ".."):
                        return f"what it delivered contains the unexpected file {member.filename[:200]!r}"
                    atomic_write(self.path / folder / name, archive.read(member))
        except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError) as error:
            return f"what it delivered cannot be unpacked ({error})"
        return ""

    def _written(self) -> Iterator[Path]:
        for folder in _WRITTEN:
            with contextlib.suppress(OSError), os.scandir(self.path / folder) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                        yield Path(entry.path)


def problem_of_outcome(outcome: Outcome, job: Job) -> str:
    """Return why this cannot be the outcome of this job, or an empty string."""
    if outcome.finished is None or outcome.finished.failure:
        return ""
    planned: PlannedCell | None = job.cell
    result = outcome.finished.cell
    if planned is not None and (result is None or result.id != planned.id or result.identity != planned.identity):
        return "it delivered the result of another cell"
    reference = outcome.finished.reference
    if job.reference is not None and (reference is None or reference.id != job.reference.id):
        return "it delivered the result of another cell"
    return ""
