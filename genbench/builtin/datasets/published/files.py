"""The files of a published dataset: where they are, whether they match the published ones, and their download."""

from __future__ import annotations

import contextlib
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import filelock

from genbench import DataError
from genbench.builtin.download import Download


@dataclass(frozen=True)
class Source:
    """A dataset's files under torchvision's root."""

    title: str  # name of the dataset in messages
    root: Path
    chosen: bool  # whether the user set the root, where nothing is written then
    files: Mapping[str, str]  # path under the root -> MD5 of the published file
    advice: str  # which files to download, from where

    @property
    def missing(self) -> list[str]:
        """The files that are missing."""
        return [name for name in self.files if not (self.root / name).is_file()]

    @property
    def signature(self) -> str:
        """Text that changes when the files do; empty while one of them is missing."""
        return states(self.root / name for name in self.files)

    def verify(self) -> None:
        """Raise `DataError` naming the first file whose checksum is not the published one."""
        for name, md5 in self.files.items():
            verify(self.root / name, md5, self._again(self.root / name))

    def obtain(self, downloads: Sequence[Download], extract: Callable[[Path], object] = lambda _: None) -> None:
        """Ensure that all files exist, by downloads into the cache and `extract(root)` if necessary.

        Raises `DataError` where they are missing and must not, or cannot, be downloaded.
        """
        if not self.missing:
            return
        if self.chosen:
            raise DataError(
                f"{self.title} is incomplete in {self.root}: {_listed(self.missing)}.", self.advice, code="GB301"
            )
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as held:
                with contextlib.suppress(OSError, NotImplementedError):  # a file system without locks
                    # another cell of the run may be downloading the same files
                    held.enter_context(filelock.FileLock(self.root / ".downloading"))
                if self.missing:
                    for download in downloads:
                        download.fetch(self.root)
                    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                        extract(self.root)
        except Exception as error:  # network, disk, or archive
            reason = str(error).strip() or type(error).__name__
            raise self._failed(f"downloading it failed: {reason}") from error
        if self.missing:
            raise self._failed(f"after the download {_listed(self.missing)}")

    def _failed(self, why: str) -> DataError:
        reason = why.removesuffix(".")
        return DataError(f"{self.title} is not in {self.root}, and {reason}.", self.advice, code="GB301")

    def _again(self, file: Path) -> str:
        return self.advice if self.chosen else f"Delete {file}: it will be downloaded again. {self.advice}"


def source(title: str, root: str, cache: Path, files: Mapping[str, str], fetch: str, into: str = "") -> Source:
    """Return the source for a `root` option, which is empty for the cache.

    `fetch` names the files to download by hand, `into` their folder under the root. Raises `DataError` where `root` is
    not a folder.
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
                f"{title}: the root {root!r} is not a folder.",
                "Set it to the folder that was given to torchvision as root.",
                code="GB305",
            )
    return Source(title, place, bool(root), files, f"Put {fetch} into {place / into}.")


def verify(file: Path, md5: str, cure: str) -> None:
    """Raise `DataError` with `cure` where the file cannot be read or its MD5 differs."""
    try:
        with file.open("rb") as stream:
            found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.", cure) from error
    if found != md5:
        raise DataError(f"{file} is damaged: its md5 is {found}, that of the published file is {md5}.", cure)


def states(paths: Iterable[Path]) -> str:
    """Return the paths, sizes and times of files or folders as text; empty where one of them is inaccessible."""
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
