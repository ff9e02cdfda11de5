"""Archives of runs: what a reader needs in one zip file, with a manifest of hashes, and how they are verified.

An archive may come from anybody. Its members must be exactly those of its manifest, with the stated sizes and hashes
and with names that genbench gives; nothing outside the new folder is written, and nothing in it is run.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import struct
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, BinaryIO

from msgspec import Meta

from genbench.errors import UsageError
from genbench.results.consistency import problem_of_id
from genbench.results.files import DamagedError, NewerFormatError, decode, encode
from genbench.results.schema import Record

ARCHIVE_VERSION = 1
MANIFEST = "manifest.json"
SUFFIX = ".zip"

_TOP = frozenset({"run.json", "race.json", "README.md", "table.md", "table.csv"})
_FOLDERS = {
    "cells": (".json",),
    "references": (".json",),
    "samples": (".png", ".webp"),
    "checkpoints": (".safetensors",),
}
_MOST_FILES = 200_000
_MOST_MANIFEST_BYTES = 64 * 2**20
_SLACK_BYTES = 256 * 2**20  # an archive may unpack to this much, and to `_MOST_RATIO` times its own size
_MOST_RATIO = 50
_CHUNK = 1 << 20
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that the format has: equal content gives equal bytes
_FORMAT_ERRORS = (  # what `zipfile` raises for bytes that are not a zip file, or not quite
    *(zipfile.BadZipFile, EOFError, NotImplementedError, OverflowError, RuntimeError, ValueError, struct.error),
    zlib.error,
)
_ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class ArchivedFile(Record, frozen=True, kw_only=True):
    """One file of an archive."""

    bytes: int
    sha256: str


class Manifest(Record, frozen=True, kw_only=True):
    """The file ``manifest.json``."""

    archive_version: int = ARCHIVE_VERSION
    name: Annotated[str, Meta(description="of the run")]
    genbench: Annotated[str, Meta(description="version of genbench that packed it")]
    files: Annotated[dict[str, ArchivedFile], Meta(description="every other file, by its name in the archive")]
    left_out: Annotated[dict[str, str], Meta(description="files of the run that are not here, with the reason")] = {}


class UnpackedArchive:
    """A verified archive, unpacked to a folder that is removed together with this object, or when the process ends."""

    def __init__(self, path: Path, weights: bool = True) -> None:
        """Unpack an archive; raise `UsageError` with what is wrong with it.

        Args:
            path: of the archive.
            weights: whether to unpack networks too, which tables and pages do not need.
        """
        self.path = path
        try:
            self.folder = Path(tempfile.mkdtemp(prefix="genbench-archive-"))
            self._remove = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
            with zipfile.ZipFile(path) as archive:
                self.manifest = _unpack(archive, path, self.folder, weights)
        except _FORMAT_ERRORS as error:
            raise damaged(path, str(error) or type(error).__name__) from None
        except OSError as error:
            remedy = "Check the file, and that $TMPDIR has enough space."
            raise UsageError(f"Cannot unpack {path}: {error.strerror or error}.", remedy, code="GB701") from error


def is_archive(path: Path) -> bool:
    """Return whether a path is a file in the format of archives, whatever it contains."""
    try:
        return path.is_file() and zipfile.is_zipfile(path)
    except (OSError, ValueError):
        return False


def damaged(path: Path, problem: str) -> UsageError:
    """Return the error for an archive that cannot be used."""
    return UsageError(
        f"The archive {path} cannot be used: {problem}.", "Get it again from where it was made.", code="GB703"
    )


def write_archive(stream: BinaryIO, name: str, version: str, files: Mapping[str, bytes | Path]) -> Manifest:
    """Write an archive; the same name, version and content give the same bytes.

    Args:
        stream: where to.
        name: of the run.
        version: of genbench.
        files: by their name in the archive: their content, or where it is.
    """
    known: dict[str, ArchivedFile] = {}
    with zipfile.ZipFile(stream, "w") as archive:
        for member in sorted(files):
            known[member] = _add(archive, member, files[member])
        manifest = Manifest(name=name, genbench=version, files=known)
        _add(archive, MANIFEST, encode(manifest))
    return manifest


def problem_of_member(name: str) -> str:
    """Return why an archive cannot have a file with this name; '' if it can."""
    shown = repr(name if len(name) <= 100 else f"{name[:100]}…")
    if "\\" in name or _ACTING.search(name) or len(name.encode(errors="replace")) > 300:
        return f"{shown} is not a name that genbench gives"
    if name in _TOP:
        return ""
    folder, slash, file = name.partition("/")
    if not slash or folder not in _FOLDERS or problem_of_id(file.rpartition(".")[0]):
        return f"{shown} does not belong to a run"
    return "" if file.endswith(_FOLDERS[folder]) else f"{shown} does not belong to a run"


def _add(archive: zipfile.ZipFile, name: str, content: bytes | Path) -> ArchivedFile:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system = 3  # Unix, on every system: equal content gives equal bytes
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    is_compressed = not name.endswith((".png", ".webp", ".safetensors"))
    info.compress_type = zipfile.ZIP_DEFLATED if is_compressed else zipfile.ZIP_STORED
    digest, size = hashlib.sha256(), 0
    if isinstance(content, bytes):
        archive.writestr(info, content, compresslevel=6)
        return ArchivedFile(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    info.file_size = content.stat().st_size  # decides whether the large form of a header is needed
    with content.open("rb") as source, archive.open(info, "w") as target:
        while part := source.read(_CHUNK):
            digest.update(part)
            size += len(part)
            target.write(part)
    return ArchivedFile(bytes=size, sha256=digest.hexdigest())


def _unpack(archive: zipfile.ZipFile, path: Path, folder: Path, weights: bool) -> Manifest:
    members = _members(archive, path)
    manifest = _manifest(archive, path, members)
    del members[MANIFEST]
    if missing := sorted(manifest.files.keys() - members.keys()):
        raise damaged(path, f"{missing[0]!r} is missing")
    if unknown := sorted(members.keys() - manifest.files.keys()):
        raise damaged(path, f"its manifest does not name {unknown[0]!r}")
    if "run.json" not in members:
        raise damaged(path, "it has no run.json")
    total = sum(file.bytes for file in manifest.files.values())
    most = _SLACK_BYTES + _MOST_RATIO * path.stat().st_size
    if total > most:
        raise damaged(path, f"it would unpack to {total:,} bytes, more than an archive of its size can hold")
    for name, stated in manifest.files.items():
        size = members[name].file_size
        if size != stated.bytes:
            raise damaged(path, f"{name!r} has {size:,} bytes, not the {stated.bytes:,} of its manifest")
        if weights or not name.startswith("checkpoints/"):
            _copy(archive, path, members[name], stated, folder / name)
    return manifest


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return what is in the archive by name, after checking everything that needs no reading."""
    infos = archive.infolist()
    if len(infos) > _MOST_FILES:
        raise damaged(path, f"it has {len(infos):,} files; the most is {_MOST_FILES:,}")
    found: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.orig_filename
        problem = "" if name == MANIFEST else problem_of_member(name)
        if problem:
            raise damaged(path, problem)
        if name in found:
            raise damaged(path, f"it has two files {name!r}")
        if info.flag_bits & 0x1:
            raise damaged(path, f"{name!r} is encrypted")
        kind = stat.S_IFMT(info.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise damaged(path, f"{name!r} is a link or a special file")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise damaged(path, f"{name!r} is compressed in a way that genbench does not use")
        found[name] = info
    if MANIFEST not in found:
        cure = "`genbench archive RUN` makes an archive."
        raise UsageError(f"{path} is not an archive of a run (it has no {MANIFEST}).", cure, code="GB705")
    return found


def _manifest(archive: zipfile.ZipFile, path: Path, members: Mapping[str, zipfile.ZipInfo]) -> Manifest:
    if members[MANIFEST].file_size > _MOST_MANIFEST_BYTES:
        raise damaged(path, "its manifest is too large")
    try:
        with archive.open(members[MANIFEST]) as file:
            manifest = decode(file.read(_MOST_MANIFEST_BYTES), Manifest, "archive_version", ARCHIVE_VERSION)
    except NewerFormatError as error:
        raise UsageError(f"The archive {path} {error}.", "Upgrade genbench to read it.", code="GB704") from None
    except (DamagedError, *_FORMAT_ERRORS) as error:
        raise damaged(path, f"its manifest is damaged: {error}") from None
    if any(file.bytes < 0 for file in manifest.files.values()):
        raise damaged(path, "its manifest states a negative size")
    return manifest


def _copy(archive: zipfile.ZipFile, path: Path, info: zipfile.ZipInfo, stated: ArchivedFile, target: Path) -> None:
    digest, rest = hashlib.sha256(), stated.bytes
    target.parent.mkdir(exist_ok=True)
    try:
        with archive.open(info) as source, target.open("xb") as file:
            while part := source.read(_CHUNK):
                rest -= len(part)
                if rest < 0:
                    break
                digest.update(part)
                file.write(part)
    except _FORMAT_ERRORS as error:
        raise damaged(path, f"{info.orig_filename!r} is damaged: {error}") from None
    if rest or digest.hexdigest() != stated.sha256:
        raise damaged(path, f"{info.orig_filename!r} is not the file that was packed: its hash differs")
