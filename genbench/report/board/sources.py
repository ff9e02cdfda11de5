"""Finding the runs of a board in folders and archives, and what tells whether one has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genbench.errors import UsageError
from genbench.report.board.output import STATE
from genbench.results.archive import SUFFIX, is_archive
from genbench.results.files import read_regular_file
from genbench.results.input_files import path_kind
from genbench.results.store import RunDirectory, runs_nearby

_DEEPEST = 4  # folders below a named one
_TOP = ("run.json", "race.json")
_FOLDERS = ("cells", "references", "samples")


@dataclass(frozen=True)
class Source:
    """A run directory or an archive."""

    path: Path
    is_archive: bool

    @property
    def name(self) -> str:
        """The name of the run."""
        return self.path.stem if self.is_archive else self.path.name or self.path.resolve().name

    def signature(self) -> str:
        """Return a text that changes when a file is added, removed or written again; no content is read."""
        digest = hashlib.sha256()
        for path in [self.path] if self.is_archive else _files(self.path):
            try:
                found = path.stat()
            except OSError as error:
                digest.update(f"{path.name}\0{error.errno}\n".encode(errors="replace"))
            else:
                about = (path.parent.name, path.name, found.st_size, found.st_mtime_ns, found.st_ino)
                digest.update(f"{about}\n".encode(errors="replace"))
        return digest.hexdigest()


def content_hash(run: RunDirectory) -> str:
    """Return the SHA-256 of all files that the board shows; an archive has that of the run that was packed."""
    return _hash_of(_files(run.path))


def results_hash(run: RunDirectory) -> str:
    """Return the SHA-256 of the plan and all results, without pictures: what a check of a run is about."""
    return _hash_of(path for path in _files(run.path) if path.suffix == ".json")


def find_sources(paths: Iterable[str | Path]) -> list[Source]:
    """Return the runs at these paths: run directories, archives, and folders that hold them; each once.

    Raises `UsageError` for a path without a run.
    """
    found: dict[Path, Source] = {}
    for given in paths:
        path = Path(given).expanduser()
        own = list(_below(path, _DEEPEST))
        if not own:
            what = "does not exist" if path_kind(path) == "missing" else "has no run directory and no archive of one"
            raise UsageError(f"{path} {what}.", runs_nearby(path), code="GB705")
        for source in own:
            found.setdefault(source.path.resolve(), source)
    return sorted(found.values(), key=lambda source: (source.name, str(source.path)))


def _below(path: Path, depth: int) -> Iterator[Source]:
    if path_kind(path / STATE) == "file":
        return  # a board, with copies of results
    if path_kind(path / "run.json") == "file":
        yield Source(path, False)
    elif is_archive(path):
        yield Source(path, True)
    elif depth and path.is_dir():
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries:
            if entry.name.startswith(".") or entry.is_symlink():
                continue
            if entry.is_dir() or entry.name.endswith(SUFFIX):
                yield from _below(Path(entry.path), depth - 1)


def _files(folder: Path) -> Iterator[Path]:
    yield folder / "run.json"
    if path_kind(folder / "race.json") == "file":
        yield folder / "race.json"
    for name in _FOLDERS:
        try:
            entries = sorted(entry.name for entry in os.scandir(folder / name) if not entry.name.startswith("."))
        except OSError:
            continue
        yield from (folder / name / entry for entry in entries)


def _hash_of(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        try:
            content = read_regular_file(path)
        except OSError as error:
            content = str(error.errno).encode()
        name = f"{path.parent.name}/{path.name}" if path.name not in _TOP else path.name
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode(errors="replace"))
    return digest.hexdigest()
