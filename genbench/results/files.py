"""One record per file: written atomically, read so that damage and a newer format are distinguished."""

from __future__ import annotations

import errno
import os
import stat
import threading
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from genbench.results.schema import SCHEMA_VERSION, Record

RecordType = TypeVar("RecordType", bound=Record)


class DamagedError(Exception):
    """The bytes are not a valid record."""


class NewerFormatError(Exception):
    """The bytes were written in the format of a later version."""


def atomic_write(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically: a reader sees the old file or the whole new one, even after a crash.

    Raises `OSError` and leaves nothing behind if the write fails.
    """
    # The suffix prevents a leftover of a killed process from being read as a result.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        # The mode of an ordinary new file: the umask decides who else may read a result.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)  # noqa: PTH105 - one call that a test can make fail
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_file(path: Path) -> bytes:
    """Return the content of a regular file; links are followed.

    Raises `OSError`, also where `path` is a directory, a device or a pipe, from which reading might never end.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe without a writer would wait
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        return file.read()


def encode(record: Record) -> bytes:
    """Return a record as indented JSON; non-finite numbers become null, text that is not UTF-8 is replaced."""
    return msgspec.json.format(encode_line(record), indent=2) + b"\n"


def encode_line(data: object) -> bytes:
    """Return a record or plain data as JSON in one line, with the same replacements."""
    try:
        return msgspec.json.encode(data)
    except UnicodeEncodeError:  # a file name or a plugin's message in another encoding
        return msgspec.json.encode(_as_utf8(msgspec.to_builtins(data)))


def decode(
    data: bytes, record_type: type[RecordType], version_field: str = "schema_version", latest: int = SCHEMA_VERSION
) -> RecordType:
    """Return the record in `data`; raise `DamagedError`, or `NewerFormatError` if its version is above `latest`."""
    try:
        header: Any = msgspec.json.decode(data, type=_header_type(version_field))
        version = getattr(header, version_field)
        if version > latest:
            raise NewerFormatError(f"was written by a newer genbench (format {version}; this one reads up to {latest})")
        if version < 1:
            raise DamagedError(f"it has no {version_field}")
        return msgspec.json.decode(data, type=record_type)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedError("it is empty" if not data else str(error)) from error


@cache
def _header_type(version_field: str) -> type[msgspec.Struct]:
    return msgspec.defstruct("Header", [(version_field, int, 0)])


def _as_utf8(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_as_utf8(key): _as_utf8(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_utf8(item) for item in value]
    return value
