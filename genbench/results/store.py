"""A run directory on disk: the path of each file, and how a run is created, opened and read."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from genbench.api.evaluation import Unavailable
from genbench.errors import UsageError, near_miss
from genbench.results.files import (
    DamagedError,
    NewerFormatError,
    atomic_write,
    create_file,
    decode,
    encode,
    read_regular_file,
)
from genbench.results.input_files import path_kind
from genbench.results.schema import CellResult, PlannedCell, Record, ReferenceResult, RunRecord

__all__ = [
    "CellFiles",
    "RecordFiles",
    "ReferenceFiles",
    "RunContents",
    "RunDirectory",
    "atomic_write",
    "find_runs",
    "read_runs",
]

RecordType = TypeVar("RecordType", CellResult, ReferenceResult)

_SUBDIRECTORIES = ("cells", "references", "samples", "checkpoints", "logs")


@dataclass(frozen=True)
class RecordFiles(Generic[RecordType]):
    """The records read from one folder, by id."""

    results: dict[str, RecordType]
    damaged: dict[str, str]  # files that could not be read, with the reason


CellFiles: TypeAlias = RecordFiles[CellResult]
ReferenceFiles: TypeAlias = RecordFiles[ReferenceResult]


@dataclass(frozen=True)
class RunContents:
    """Everything from which tables and pages are made, read at one point in time."""

    name: str
    record: RunRecord
    cells: CellFiles
    references: ReferenceFiles


class RunDirectory:
    """One run on disk, given by its path; `create` creates it, `open` checks that it exists."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def create(cls, path: str | Path, record: RunRecord) -> RunDirectory:
        """Write `record` as run.json of a new run; the directory may be missing or empty.

        Raises `UsageError` if the directory is not empty or cannot be written.
        """
        run = cls(path)
        if run.path.is_dir() and run.record_path.is_file():
            raise _already_a_run(run.path)
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            # Another command that starts at the same time may be writing its run.json.
            if any(not path.name.lstrip(".").startswith(f"{run.record_path.name}.") for path in run.path.iterdir()):
                if run.record_path.is_file():
                    raise _already_a_run(run.path)
                raise UsageError(f"{run.path} is not empty and is not a run.", "Choose another --out.")
            try:
                create_file(run.record_path, encode(record))
            except FileExistsError:
                raise _already_a_run(run.path) from None
            for name in _SUBDIRECTORIES:
                (run.path / name).mkdir(exist_ok=True)
        except OSError as error:
            raise _cannot_write(run.path, error, "or choose another --out") from error
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """Return the run at `path`; raise `UsageError` if there is none, or none that this version can read."""
        run = cls(path)
        if path_kind(run.record_path) != "file":
            what = "does not exist" if path_kind(run.path) == "missing" else "is not a run (it has no run.json)"
            raise UsageError(f"{run.path} {what}.", runs_nearby(run.path))
        _ = run.record
        return run

    @cached_property
    def record(self) -> RunRecord:
        """The plan and the environment, from run.json."""
        try:
            return decode(read_regular_file(self.record_path), RunRecord)
        except OSError as error:
            cure = runs_nearby(self.path) if isinstance(error, FileNotFoundError) else "Check its permissions."
            raise UsageError(f"{self.record_path} cannot be read: {error.strerror}.", cure) from error
        except NewerFormatError as error:
            raise UsageError(f"{self.record_path} {error}.", "Upgrade genbench to read this run.") from error
        except DamagedError as error:
            raise UsageError(
                f"{self.record_path} is damaged: {error}.",
                "Restore it from a copy, or run again with another --out; the files in cells/ are unchanged.",
            ) from error

    @property
    def record_path(self) -> Path:
        """The plan."""
        return self.path / "run.json"

    @property
    def contact_sheet_path(self) -> Path:
        """One image with the samples of all cells."""
        return self.path / "samples" / "contact-sheet.png"

    def cell_path(self, id: str) -> Path:
        """Return the path of a cell's result."""
        return self._path("cells", id, ".json")

    def reference_path(self, id: str) -> Path:
        """Return the path of a dataset's reference rows."""
        return self._path("references", id, ".json")

    def sample_path(self, id: str) -> Path:
        """Return the path of a cell's grid of generated images."""
        return self._path("samples", id, ".png")

    def reconstruction_path(self, id: str) -> Path:
        """Return the path of a cell's grid of originals and reconstructions."""
        return self._path("samples", id, "-reconstructions.png")

    def closest_path(self, id: str) -> Path:
        """Return the path of the grid of samples closest to training images, with those images."""
        return self._path("samples", id, ".closest.png")

    def checkpoint_path(self, id: str) -> Path:
        """Return the path of a cell's final weights."""
        return self._path("checkpoints", id, ".safetensors")

    def best_path(self, id: str) -> Path:
        """Return the path of the weights of a cell's best evaluation."""
        return self._path("checkpoints", id, ".best.safetensors")

    def resume_path(self, id: str) -> Path:
        """Return the path of the state from which an interrupted cell resumes."""
        return self._path("checkpoints", id, ".resume.safetensors")

    def log_path(self, id: str) -> Path:
        """Return the path of a cell's log."""
        return self._path("logs", id, ".log")

    def write_cell(self, result: CellResult) -> None:
        """Write a cell's result atomically; raise `UsageError` if the write fails.

        An estimate that is not finite becomes an `Unavailable`, because JSON cannot represent it.
        """
        finite = [estimate for estimate in result.estimates if estimate.finite]
        if len(finite) < len(result.estimates):
            lost = [Unavailable(e.metric, f"its value was {e.value}") for e in result.estimates if not e.finite]
            result = msgspec.structs.replace(result, estimates=finite, unavailable=[*result.unavailable, *lost])
        self._write(self.cell_path(result.id), result)

    def write_reference(self, result: ReferenceResult) -> None:
        """Write a dataset's reference rows atomically; raise `UsageError` if the write fails."""
        self._write(self.reference_path(result.id), result)

    def read_cells(self) -> CellFiles:
        """Read every cell's result; a damaged file is listed, never fatal."""
        return _read_all(self.path / "cells", CellResult)

    def read_references(self) -> ReferenceFiles:
        """Read every dataset's reference rows; a damaged file is listed, never fatal."""
        return _read_all(self.path / "references", ReferenceResult)

    def read(self) -> RunContents:
        """Read the plan and all results."""
        name = self.path.name or self.path.resolve().name  # '.' has no name of its own
        return RunContents(name, self.record, self.read_cells(), self.read_references())

    def find_cell(self, part: str) -> PlannedCell:
        """Return the planned cell with this id, or else the only one with this model or variant, or with it in its id.

        If several ids contain `part`, the only one that begins with it is returned.
        """
        cells = {cell.id: cell for cell in self.record.cells}
        if part in cells:
            return cells[part]
        named = [id for id, cell in cells.items() if part in (cell.identity.model.name, cell.variant)]
        beginning = [id for id in cells if id.startswith(part)]  # gan-hinge, not dcgan-hinge
        candidates = named or (beginning if len(beginning) == 1 else [id for id in cells if part in id])
        if len(candidates) == 1:
            return cells[candidates[0]]
        if candidates:
            raise UsageError(f"'{part}' matches {len(candidates)} cells.", f"Choose one of: {', '.join(candidates)}.")
        names = {name for cell in cells.values() for name in (cell.identity.model.name, cell.variant) if name}
        raise UsageError(
            f"No cell of {self.path} matches '{part}'.{near_miss(part, [*sorted(names), *cells])}",
            f"It has: {', '.join(cells)}.",
        )

    def _path(self, folder: str, id: str, suffix: str) -> Path:
        if not id or id.startswith(".") or Path(id).name != id:
            raise UsageError(f"{self.record_path} is damaged: {id!r} cannot be the id of a cell.")
        return self.path / folder / (id + suffix)

    def _write(self, path: Path, record: Record) -> None:
        try:
            path.parent.mkdir(exist_ok=True)
            atomic_write(path, encode(record))
        except OSError as error:
            raise _cannot_write(path, error, f"then continue with `genbench run --resume {self.path}`") from error


def read_runs(paths: Iterable[str | Path]) -> list[RunContents]:
    """Read several runs; runs with the same name are named by their paths."""
    directories = [RunDirectory.open(path) for path in paths]
    contents = [directory.read() for directory in directories]
    names = [run.name for run in contents]
    return [
        run if names.count(run.name) == 1 else replace(run, name=str(directory.path))
        for directory, run in zip(directories, contents, strict=True)
    ]


def find_runs(directory: str | Path) -> list[Path]:
    """Return the run directories directly in `directory`, in descending order of name."""
    try:
        return sorted((p for p in Path(directory).iterdir() if (p / "run.json").is_file()), reverse=True)
    except OSError:
        return []


def _read_all(folder: Path, record_type: type[RecordType]) -> RecordFiles[RecordType]:
    results: dict[str, RecordType] = {}
    damaged: dict[str, str] = {}
    for path in sorted(folder.glob("[!.]*.json")):
        try:
            result: Any = decode(read_regular_file(path), record_type)
        except OSError as error:
            damaged[path.stem] = f"cannot be read: {error.strerror}"
        except (DamagedError, NewerFormatError) as error:
            damaged[path.stem] = str(error)
        else:
            if result.id == path.stem:
                results[path.stem] = result
            else:
                damaged[path.stem] = f"it contains the result of {result.id!r}"
    return RecordFiles(results, damaged)


def _already_a_run(path: Path) -> UsageError:
    return UsageError(
        f"{path} already contains a run.",
        f"Continue it with `genbench run --resume {path}`, or choose another --out.",
    )


def _cannot_write(path: Path, error: OSError, otherwise: str) -> UsageError:
    remedy = "Free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Make it writable"
    return UsageError(f"Cannot write {path}: {error.strerror or error}.", f"{remedy}, {otherwise}.")


def runs_nearby(path: Path) -> str:
    """Return advice for a path that is not a run: the closest name, and the runs beside it."""
    places: Iterable[Path] = dict.fromkeys((path, path.parent, Path("results")))
    runs = list(dict.fromkeys(str(run) for place in places for run in find_runs(place)))
    if not runs:
        return "Create one with `genbench run`."
    by_name = {Path(run).name.lower(): run for run in runs}
    close = near_miss(path.name, by_name)
    return f"{close.strip()} Runs nearby: {', '.join(runs[:5])}{' …' if len(runs) > 5 else ''}.".strip()
