"""The folder of a board: which files in it are its own, and writing only those that change."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

import msgspec

from genbench.errors import UsageError
from genbench.report.board.records import BoardState, CachedRun
from genbench.results.files import DamagedError, NewerFormatError, atomic_write, decode, encode_line, read_regular_file
from genbench.results.run_lock import hold

BOARD_VERSION = 1  # of the state and of what is remembered of each run
RUNS = "runs"
STATE = ".board/board.json"  # marks a folder as a board
_CACHE = ".board/runs"
_LOCK = ".board/lock"


class BoardFolder:
    """A new or existing board; a file that a board has not written is never changed or removed.

    `remembered` holds the runs of the last build by slug, if this version can use what was written.
    """

    def __init__(self, path: Path, title: str, version: str) -> None:
        """Open the folder; raise `UsageError` if it holds something else, or cannot be written."""
        self.path, self.title, self.version = path, title, version
        before = self._read_state()
        self._before = before or BoardState(board_version=BOARD_VERSION, version=version, title=title)
        self.is_current = before is not None and (before.version, before.title) == (version, title)
        self._own: set[str] = {*self._before.pages, *self._interrupted()}  # files that a board has written
        self.remembered: dict[str, CachedRun] = {}
        self._read_remembered()
        self.pages: dict[str, tuple[str, str]] = {}
        self.written = 0

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let no other process write this board; raise `UsageError` if one does."""
        lock = self.path / _LOCK
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            lock.touch()
        except OSError as error:
            raise cannot_write(lock, error) from error
        with hold(lock):
            yield

    def begin(self, pages: Iterable[str], runs: Iterable[str]) -> None:
        """Note what this build may write, so that an interrupted one leaves nothing unknown behind.

        Raises `UsageError` if something else is in the place of a page, or the folder cannot be written.
        """
        pages = list(pages)
        for page in pages:
            target = self.path / page
            if page not in self._own and (target.exists() or target.is_symlink()):
                cure = "Move it away, or choose another --out."
                raise UsageError(f"{target} was not written by `genbench board`.", cure, code="GB706")
        writing = [*self._before.writing, *pages, *(f"{RUNS}/{slug}" for slug in runs)]
        self._write_state(msgspec.structs.replace(self._before, writing=list(dict.fromkeys(writing))))

    def page(self, path: str, key: str, make: Callable[[], bytes]) -> None:
        """Write a page unless it was made from the same input; `key` is the hash of everything it depends on."""
        known = self._before.pages.get(path) if self.is_current else None
        if known is None or known[0] != key or not (self.path / path).is_file():
            content = make()
            digest = hashlib.sha256(content).hexdigest()
            if known is None or known[1] != digest or not (self.path / path).is_file():
                write_file(self.path / path, content)
                self.written += 1
            known = key, digest
        self.pages[path] = known

    def remember(self, cached: CachedRun) -> None:
        """Take what has been stored of a run."""
        self._own |= {*cached.files}
        self.remembered[cached.run.slug] = cached
        self.written += len(cached.files)

    def finish(self, runs: Collection[str]) -> None:
        """Remove the files that this build no longer has, and store the state; `runs` are the slugs of all runs."""
        kept = {*self.pages, *(path for slug in runs for path in self.remembered[slug].files)}
        for path in self._own - kept:
            self._remove(path)
        for cached in (self.path / _CACHE).glob("*.json"):
            if cached.stem not in runs:
                cached.unlink(missing_ok=True)
        state = BoardState(board_version=BOARD_VERSION, version=self.version, title=self.title, pages=self.pages)
        self._write_state(state)

    def _read_remembered(self) -> None:
        for path in (self.path / _CACHE).glob("*.json"):
            try:
                data = read_regular_file(path)
                cached = msgspec.json.decode(data, type=CachedRun)
            except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
                self._own |= _files_of(path)  # the run is read again
                continue
            self._own |= {own for own in cached.files if _is_inside(own)}
            if cached.version == self.version and cached.run.slug == path.stem:
                self.remembered[path.stem] = cached

    def _interrupted(self) -> set[str]:
        """Return the files that an unfinished build has written."""
        found = set()
        for given in filter(_is_inside, self._before.writing):
            place = self.path / given
            if place.is_dir() and not place.is_symlink():
                found |= {path.relative_to(self.path).as_posix() for path in place.rglob("*") if path.is_file()}
            elif place.is_file():
                found.add(given)
        return found

    def _remove(self, path: str) -> None:
        target = self.path / path
        try:
            if target.is_file() and not target.is_symlink():
                target.unlink()
            for folder in target.parents:
                if folder == self.path:
                    break
                folder.rmdir()
        except OSError:
            return  # a folder that holds something else stays

    def _write_state(self, state: BoardState) -> None:
        path = self.path / STATE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(path, encode_line(state))
        except OSError as error:
            raise cannot_write(path, error) from error

    def _read_state(self) -> BoardState | None:
        path = self.path / STATE
        try:
            return decode(read_regular_file(path), BoardState, "board_version", BOARD_VERSION)
        except FileNotFoundError:
            if self.path.is_dir() and any(entry.name != path.parent.name for entry in self.path.iterdir()):
                raise UsageError(
                    f"{self.path} is not empty and is not a board.", "Choose another --out.", code="GB706"
                ) from None
            return None
        except NotADirectoryError:
            raise UsageError(f"{self.path} is not a folder.", "Choose another --out.", code="GB706") from None
        except NewerFormatError as error:
            raise UsageError(
                f"The board {self.path} {error}.", "Upgrade genbench, or choose another --out.", code="GB704"
            ) from None
        except DamagedError as error:
            raise UsageError(
                f"{path} is damaged: {error}.", "Remove this board, or choose another --out.", code="GB703"
            ) from None
        except OSError as error:
            raise cannot_write(path, error) from error


def cache_path(board: Path, slug: str) -> Path:
    """Return where a board stores what it needs of a run."""
    return board / _CACHE / f"{slug}.json"


def read_cached(board: Path, slug: str) -> CachedRun | None:
    """Return what is stored of a run; None if nothing usable is."""
    try:
        return msgspec.json.decode(read_regular_file(cache_path(board, slug)), type=CachedRun)
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return None


def write_file(path: Path, content: bytes) -> None:
    """Write a file of the board; a link in its place is replaced, not followed. Raises `UsageError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            path.unlink()
        path.write_bytes(content)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> UsageError:
    """Return the error for a board that cannot be written."""
    where = error.filename or path
    return UsageError(
        f"Cannot write {where}: {error.strerror or error}.", "Make it writable, or choose another --out.", code="GB702"
    )


def _is_inside(path: str) -> bool:
    """Return whether a stored path is one that a board can have written: others may have edited the state."""
    return not path.startswith(("/", ".")) and "\0" not in path and ".." not in path.split("/")


class _Files(msgspec.Struct):
    files: dict[str, str]


def _files_of(path: Path) -> set[str]:
    """Return the files of a run that was stored in another format; none if that cannot be read."""
    try:
        return {own for own in msgspec.json.decode(read_regular_file(path), type=_Files).files if _is_inside(own)}
    except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
        return set()
