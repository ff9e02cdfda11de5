"""A run directory on disk: the path of each file, and how a run is created, opened and read."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import msgspec

from genbench.errors import UsageError, near_miss
from genbench.results.archive import UnpackedArchive, is_archive
from genbench.results.consistency import (
    first_difference,
    problem_of_id,
    problem_of_plan,
    problem_of_race,
    problem_of_references,
    problem_of_result,
    problems_of_planned_cells,
    storable,
)
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
from genbench.results.schema import (
    CellIdentity,
    CellResult,
    PlannedCell,
    RaceRecord,
    Record,
    ReferenceResult,
    RunRecord,
    Status,
)
from genbench.results.shared_parts import SharedParts
from genbench.results.stored_series import without_series

__all__ = [
    "CellFiles",
    "LoadedRun",
    "RecordFiles",
    "ReferenceFiles",
    "RunContents",
    "RunDirectory",
    "atomic_write",
    "find_runs",
    "named_apart",
    "read_runs",
    "without_cells",
]

RecordType = TypeVar("RecordType", CellResult, ReferenceResult)

KEPT_WHOLE = 300  # of a run with more results than this, long lists are read again when they are used
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
    left_out: dict[str, str] = field(default_factory=dict)  # what of the plan cannot be shown, with the reason
    race: RaceRecord | None = None  # what its races have decided so far; None: it has none, or its file is damaged


class LoadedRun(NamedTuple):
    """A run directory, and what was in it when it was read."""

    directory: RunDirectory
    contents: RunContents


class RunDirectory:
    """One run on disk, given by its path; `create` creates it, `open` checks that it exists.

    A run in an archive is read from a temporary folder, which exists as long as this object.
    """

    def __init__(self, path: str | Path, archive: UnpackedArchive | None = None) -> None:
        self.path = Path(path)
        self.archive = archive  # None: a directory of its own
        self.race_damage = ""  # why `race` cannot be read
        self._parts = SharedParts()
        self._statuses: dict[str, tuple[tuple[int, ...] | None, Status | None]] = {}  # by id, of a version of the file

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
                raise UsageError(f"{run.path} is not empty and is not a run.", "Choose another --out.", code="GB706")
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
        """Return the run at `path`, a directory or an archive.

        Raises `UsageError` if there is none, or none that this version can read.
        """
        run = cls(path)
        if is_archive(run.path):
            archive = UnpackedArchive(run.path)
            run = cls(archive.folder, archive)
        if path_kind(run.record_path) != "file":
            problems = {"missing": "does not exist", "directory": "is not a run (it has no run.json)"}
            what = problems.get(path_kind(run.path), "is neither a run nor an archive of one")
            raise UsageError(f"{run.path} {what}.", runs_nearby(run.path), code="GB705")
        _ = run.record
        return run

    @classmethod
    def open_unpacked(cls, path: str | Path) -> RunDirectory:
        """Return the run at `path` to write to it, or to use its files in other processes.

        Raises the errors of `open`, and `UsageError` for an archive.
        """
        given = Path(path)
        if is_archive(given):
            raise UsageError(
                f"{given} is an archive, which can only be read.",
                f"Unpack it, and name the folder: unzip {given} -d {given.with_suffix('')}",
                code="GB702",
            )
        return cls.open(path)

    @property
    def name(self) -> str:
        """The name of the run: that of its directory or archive."""
        if self.archive is not None:
            return self.archive.path.stem
        return self.path.name or self.path.resolve().name  # '.' has no name of its own

    def shown(self, path: Path) -> str:
        """Return a path inside the run for a reader: an archive is named in place of its temporary folder."""
        if self.archive is None:
            return str(path)
        return str(self.archive.path / path.relative_to(self.path))

    @cached_property
    def record(self) -> RunRecord:
        """The plan and the environment, from run.json, without the cells in `damaged_plan`."""
        damaged = self.damaged_plan
        return msgspec.structs.replace(
            self._whole_record,
            cells=[cell for number, cell in enumerate(self._whole_record.cells) if number not in damaged],
        )

    @cached_property
    def damaged_plan(self) -> dict[int, str]:
        """The cells of run.json that no genbench can have planned, by their position, with the reason."""
        cells = self._whole_record.cells
        problems = problems_of_planned_cells(cells)
        if problems and len(problems) == len(cells):
            raise self._damaged_plan_error(f"cells.0: {problems[0]}")
        return problems

    def require_whole_plan(self) -> None:
        """Raise `UsageError` if a cell of the plan is damaged: readers leave it out, but a run cannot."""
        for number, problem in self.damaged_plan.items():
            raise self._damaged_plan_error(f"cells.{number}: {problem}")
        if self.race_damage:
            raise UsageError(
                f"{self.race_path} is damaged: {self.race_damage}.",
                "Restore it from a copy. Without it, the looks of the race would be taken a second time.",
                code="GB703",
            )

    def _damaged_plan_error(self, problem: object) -> UsageError:
        return UsageError(
            f"{self.shown(self.record_path)} is damaged: {problem}.",
            "Restore it from a copy, or run again with another --out; the files in cells/ are unchanged.",
            code="GB703",
        )

    @cached_property
    def race(self) -> RaceRecord | None:
        """What the races of this run have decided so far; None if it has none, or if the file is damaged."""
        if not self._planned_record.races:
            return None
        unread = RaceRecord(looks=[[] for _ in self._planned_record.races])
        try:
            found = decode(read_regular_file(self.race_path), RaceRecord)
        except FileNotFoundError:
            return unread
        except OSError as error:
            self.race_damage = f"cannot be read: {error.strerror}"
        except (DamagedError, NewerFormatError) as error:
            self.race_damage = str(error)
        else:
            self.race_damage = problem_of_race(found, self._planned_record)
        return None if self.race_damage else found

    def write_race(self, race: RaceRecord) -> None:
        """Write what the races have decided; raise `UsageError` if the write fails. Open the run anew to read it."""
        self._write(self.race_path, race)

    @cached_property
    def _whole_record(self) -> RunRecord:
        """The plan, with the cells that its races have added."""
        record = self._planned_record
        added = self.race.added if self.race is not None else []
        return msgspec.structs.replace(record, cells=[*record.cells, *added]) if added else record

    @cached_property
    def _planned_record(self) -> RunRecord:
        try:
            shown = self.shown(self.record_path)
            record = decode(read_regular_file(self.record_path), RunRecord)
            if problem := problem_of_plan(record):
                raise DamagedError(problem)
            return msgspec.structs.replace(record, cells=[self._parts.of_cell(cell) for cell in record.cells])
        except OSError as error:
            cure = runs_nearby(self.path) if isinstance(error, FileNotFoundError) else "Check its permissions."
            raise UsageError(f"{shown} cannot be read: {error.strerror}.", cure, code="GB701") from error
        except NewerFormatError as error:
            raise UsageError(f"{shown} {error}.", "Upgrade genbench to read this run.", code="GB704") from error
        except DamagedError as error:
            raise self._damaged_plan_error(error) from error

    @property
    def record_path(self) -> Path:
        """The plan."""
        return self.path / "run.json"

    @property
    def race_path(self) -> Path:
        """What the races of the run have decided."""
        return self.path / "race.json"

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

    def training_samples_path(self, id: str) -> Path:
        """Return the path of a cell's samples during training, see `genbench.results.schema.TrainingSamples`."""
        return self._path("samples", id, ".training.webp")

    def interpolation_path(self, id: str) -> Path:
        """Return the path of the grid of images interpolated between pairs of latents."""
        return self._path("samples", id, ".interpolation.png")

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

    def with_cells(self, cells: Sequence[PlannedCell]) -> RunDirectory:
        """Add cells to the plan in run.json, and return the run with them; raise `UsageError` if that fails."""
        record = msgspec.structs.replace(self._whole_record, cells=[*self._whole_record.cells, *cells])
        self._write(self.record_path, record)
        run = RunDirectory(self.path, self.archive)
        run._planned_record, run._parts, run._statuses = record, self._parts, self._statuses  # nothing is read again
        return run

    def write_cell(self, result: CellResult) -> None:
        """Write a cell's result atomically; raise `UsageError` if the write fails.

        Numbers that a reader would refuse are left out, see `genbench.results.consistency.storable`.
        """
        self._write(self.cell_path(result.id), storable(result))

    def write_reference(self, result: ReferenceResult) -> None:
        """Write a dataset's reference rows atomically; raise `UsageError` if the write fails."""
        self._write(self.reference_path(result.id), result)

    def read_cells(self, ids: Iterable[str] | None = None) -> CellFiles:
        """Read every cell's result, or those of some cells; a damaged file is listed, never fatal.

        Raises `UsageError` if the folder cannot be listed, as does `read_references`.
        """
        results: dict[str, CellResult] = {}
        damaged: dict[str, str] = {}
        paths = (
            _record_paths(self.path / "cells")
            if ids is None
            else [p for id in ids if (p := self.cell_path(id)).exists()]
        )
        for path, result, problem in _read_each(paths, CellResult, self._problem_of_result):
            if result is None:
                damaged[path.stem] = problem
            else:
                results[path.stem] = result if len(paths) <= KEPT_WHOLE else self._in_few_bytes(result, path)
        return RecordFiles(results, damaged)

    def read_statuses(self) -> dict[str, Status]:
        """Read the status of every cell whose result is not damaged, by id; raise the errors of `read_cells`.

        A file that has not changed since the last call is not read again.
        """
        statuses: dict[str, Status] = {}
        for path in _record_paths(self.path / "cells"):
            version = _version_of(path)
            known = self._statuses.get(path.stem)
            if known is None or version is None or known[0] != version:
                ((_, result, _),) = _read_each([path], CellResult, self._problem_of_result)
                known = self._statuses[path.stem] = version, None if result is None else result.status
            if known[1] is not None:
                statuses[path.stem] = known[1]
        return statuses

    def read_references(self) -> ReferenceFiles:
        """Read every dataset's reference rows; a damaged file is listed, never fatal."""
        found = [*_read_each(_record_paths(self.path / "references"), ReferenceResult, problem_of_references)]
        return RecordFiles(
            {path.stem: result for path, result, _ in found if result is not None},
            {path.stem: problem for path, result, problem in found if result is None},
        )

    def read(self) -> RunContents:
        """Read the plan and all results."""
        left_out = {
            _id_or_position(self._whole_record.cells[number].id, number): f"its entry in run.json is damaged: {problem}"
            for number, problem in self.damaged_plan.items()
        }
        if self.race_damage:
            left_out["the race"] = f"race.json {self.race_damage}"
        return RunContents(self.name, self.record, self.read_cells(), self.read_references(), left_out, self.race)

    def _problem_of_result(self, result: CellResult) -> str:
        planned = self._planned_identities.get(result.id)
        if problem := problem_of_result(result, planned):
            return problem
        if result.identity == planned:
            return ""
        differing = first_difference(result.identity, planned) if planned is not None else ""
        return f"its identity.{differing} is not that of the cell in run.json" if differing else ""

    def _in_few_bytes(self, result: CellResult, path: Path) -> CellResult:
        """Return the result without its long lists, which stay in `path`, and with parts that other cells have too."""
        planned = self._planned_identities.get(result.id)
        identity = self._parts.of_identity(result.identity) if planned is None else planned
        return self._parts.of_result(msgspec.structs.replace(without_series(result, path), identity=identity))

    @cached_property
    def _planned_identities(self) -> dict[str, CellIdentity]:
        return {cell.id: cell.identity for cell in self.record.cells} if self.record_path.is_file() else {}

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
            raise UsageError(
                f"'{part}' matches {len(candidates)} cells.", f"Choose one of: {', '.join(candidates)}.", code="GB107"
            )
        names = {name for cell in cells.values() for name in (cell.identity.model.name, cell.variant) if name}
        raise UsageError(
            f"No cell of {self.shown(self.path)} matches '{part}'.{near_miss(part, [*sorted(names), *cells])}",
            f"It has: {', '.join(cells)}.",
            code="GB708",
        )

    def _path(self, folder: str, id: str, suffix: str) -> Path:
        if problem := problem_of_id(id):
            raise UsageError(f"{self.shown(self.record_path)} is damaged: {problem}.", code="GB703")
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
    return named_apart(directories, [directory.read() for directory in directories])


def named_apart(directories: Sequence[RunDirectory], contents: Sequence[RunContents]) -> list[RunContents]:
    """Return the contents of these directories; runs with the same name are named by their paths."""
    names = [run.name for run in contents]
    return [
        run if names.count(run.name) == 1 else replace(run, name=directory.shown(directory.path))
        for directory, run in zip(directories, contents, strict=True)
    ]


def without_cells(run: RunContents, ids: Container[str]) -> RunContents:
    """Return the contents without these planned cells and their results."""
    return replace(
        run,
        record=msgspec.structs.replace(run.record, cells=[cell for cell in run.record.cells if cell.id not in ids]),
        cells=RecordFiles(
            {id: result for id, result in run.cells.results.items() if id not in ids},
            {id: why for id, why in run.cells.damaged.items() if id not in ids},
        ),
    )


def find_runs(directory: str | Path) -> list[Path]:
    """Return the run directories directly in `directory`, in descending order of name."""
    try:
        return sorted((p for p in Path(directory).iterdir() if (p / "run.json").is_file()), reverse=True)
    except OSError:
        return []


def _read_each(
    paths: Iterable[Path], record_type: type[RecordType], problem_of: Callable[[RecordType], str]
) -> Iterator[tuple[Path, RecordType | None, str]]:
    """Yield the record in each file, or None and why it is damaged; one at a time, because they are large."""
    for path in paths:
        try:
            result: Any = decode(read_regular_file(path), record_type)
        except OSError as error:
            yield path, None, f"cannot be read: {error.strerror}"
        except (DamagedError, NewerFormatError) as error:
            yield path, None, str(error)
        else:
            problem = problem_of(result)
            if result.id != path.stem:
                problem = f"it contains the result of {result.id[:100]!r}"
            yield path, None if problem else result, problem


def _version_of(path: Path) -> tuple[int, ...] | None:
    """Return what differs between versions of a file; None: it is not known."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _already_a_run(path: Path) -> UsageError:
    return UsageError(
        f"{path} already contains a run.",
        f"Continue it with `genbench run --resume {path}`, or choose another --out.",
        code="GB706",
    )


def _record_paths(folder: Path) -> list[Path]:
    """Return the paths of the records in a folder, none if it is missing.

    Raises `UsageError` if it cannot be listed: that is not the same as a folder without results.
    """
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - unlike `Path.glob`, it reports errors
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be listed: {error.strerror}, so its results cannot be read.",
            "Restore it, or make it readable.",
            code="GB701",
        ) from error
    return [folder / name for name in names if name.endswith(".json") and not name.startswith(".")]


def _id_or_position(id: str, number: int) -> str:
    """Return the name of a damaged entry of a plan, whose id may be what is damaged."""
    return f"cell {number}" if problem_of_id(id) else id


def _cannot_write(path: Path, error: OSError, otherwise: str) -> UsageError:
    remedy = "Free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Make it writable"
    return UsageError(f"Cannot write {path}: {error.strerror or error}.", f"{remedy}, {otherwise}.", code="GB702")


def runs_nearby(path: Path) -> str:
    """Return advice for a path that is not a run: the closest name, and the runs beside it."""
    places: Iterable[Path] = dict.fromkeys((path, path.parent, Path("results")))
    runs = list(dict.fromkeys(str(run) for place in places for run in find_runs(place)))
    if not runs:
        return "Create one with `genbench run`."
    by_name = {Path(run).name.lower(): run for run in runs}
    close = near_miss(path.name, by_name)
    return f"{close.strip()} Runs nearby: {', '.join(runs[:5])}{' …' if len(runs) > 5 else ''}.".strip()
