"""The files of a published dataset: where they lie, whether they are what was published, and how they get there."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from genbench import DataError


@dataclass(frozen=True)
class Source:
    """A dataset's files under torchvision's root."""

    title: str  # the dataset, in messages
    root: Path
    chosen: bool  # the user named the root: nothing is written there
    files: Mapping[str, str]  # path under the root -> md5 of the published file
    advice: str  # which files to fetch, from where

    @property
    def missing(self) -> list[str]:
        """The files that are not there."""
        return [name for name in self.files if not (self.root / name).is_file()]

    @property
    def signature(self) -> str:
        """Text that changes when the files do; empty while one of them is missing."""
        return states(self.root / name for name in self.files)

    def verify(self) -> None:
        """Raise `DataError` naming the first file whose checksum is not the published one."""
        for name, md5 in self.files.items():
            verify(self.root / name, md5, self._again(self.root / name))

    def obtain(self, download: Callable[[Path], object]) -> None:
        """Make sure that all files are there, by `download(root)` into the cache if need be.

        Raises `DataError` where they are missing and may not, or cannot, be downloaded.
        """
        if not self.missing:
            return
        if self.chosen:
            raise DataError(f"{self.title} is not complete in {self.root}: {_listed(self.missing)}.", self.advice)
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with (self.root / ".downloading").open("w") as lock:
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(lock, fcntl.LOCK_EX)  # another cell of the same run may be fetching the same files
                if self.missing:
                    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                        download(self.root)
        except Exception as error:  # of the network, the disk, the archive, or a package that only downloads need
            reason = str(error).strip() or type(error).__name__
            raise self._failed(f"downloading it failed: {reason}") from error
        if self.missing:
            raise self._failed(f"the download did not bring {_listed(self.missing)}")

    def _failed(self, why: str) -> DataError:
        return DataError(f"{self.title} is not in {self.root}, and {why}", self.advice)

    def _again(self, file: Path) -> str:
        return self.advice if self.chosen else f"Delete {file}: it will be fetched again. {self.advice}"


def source(title: str, root: str, cache: Path, files: Mapping[str, str], fetch: str, into: str = "") -> Source:
    """Return the source for a `root` option, which is empty for the cache.

    `fetch` says which files one would fetch by hand, `into` to which folder under the root. Raises `DataError` where a
    root that was named is no folder.
    """
    place = cache
    if root:
        try:
            place = Path(root).expanduser()
            exists = place.is_dir()
        except (OSError, ValueError, RuntimeError):  # a null character, no such user after ~
            exists = False
        if not exists:
            raise DataError(
                f"{title}: the root {root!r} is not a folder.", "Name the folder that torchvision was given as root."
            )
    return Source(title, place, bool(root), files, f"Put {fetch} into {place / into}.")


def verify(file: Path, md5: str, cure: str) -> None:
    """Raise `DataError` with `cure` where the file cannot be read or its md5 differs."""
    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.", cure) from error
    if found != md5:
        raise DataError(f"{file} is damaged: its md5 is {found}, that of the published file {md5}.", cure)


def states(paths: Iterable[Path]) -> str:
    """Return places, sizes and times of files or folders as text; empty where one of them cannot be looked at."""
    lines = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            return ""
        lines.append(f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}")
    return "\n".join(lines)


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{', '.join(names[:4])}{rest} {'is' if len(names) == 1 else 'are'} missing"
