"""One record per file: written atomically, read so that damage and a newer format are distinguished."""

from __future__ import annotations

import codecs
import errno
import os
import stat
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from genbench.results.schema import SCHEMA_VERSION, Record
from genbench.system.opening import open_new, open_to_read, replace

RecordType = TypeVar("RecordType", bound=Record)


class DamagedError(Exception):
    """The bytes are not a valid record."""


class NewerFormatError(Exception):
    """The bytes were written in the format of a later version."""


def read_regular_file(path: Path) -> bytes:
    """Return the content of a file; raise `OSError`, also for anything that is not a regular file.

    A pipe would block until somebody writes to it, and a device may never end.
    """
    descriptor = open_to_read(path)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - of a descriptor
        _require_regular(os.fstat(descriptor).st_mode, path)
        return file.read()


def read_end(path: Path, most: int) -> bytes:
    """Return the last `most` bytes of a file; raise `OSError` as `read_regular_file` does."""
    descriptor = open_to_read(path)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - of a descriptor
        _require_regular(os.fstat(descriptor).st_mode, path)
        file.seek(max(0, os.fstat(descriptor).st_size - most))
        return file.read(most)


def _require_regular(mode: int, path: Path) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, not a file", str(path))


def without_byte_order_mark(data: bytes) -> bytes:
    """Return the bytes of UTF-8 text without the mark that some editors write before it."""
    return data.removeprefix(codecs.BOM_UTF8)


def atomic_write(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically: a reader sees the old file or the whole new one, even after a crash.

    Raises `OSError` and leaves nothing behind if the write fails.
    """
    if not path.name:  # "." and "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    # The suffix prevents a leftover of a killed process from being read as a result.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        temporary.unlink(missing_ok=True)  # of a process that was killed, or a link that others have placed there
        # The mode of an ordinary new file: the umask decides who else may read a result.
        descriptor = open_new(temporary)
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def create_file(path: Path, data: bytes) -> None:
    """Write a new file atomically; of several processes that try at once, one succeeds.

    Raises `FileExistsError` if the file exists, and any other `OSError` if the write fails, leaving nothing behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.new.tmp")
    try:
        atomic_write(temporary, data)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            raise
        except OSError:  # this file system has no hard links
            with path.open("xb") as file:
                file.write(data)
    finally:
        temporary.unlink(missing_ok=True)


def encode(record: Record) -> bytes:
    """Return a record as indented JSON; non-finite numbers become null, text that is not UTF-8 is replaced."""
    return encode_json(record)


def encode_json(value: Any, indent: int = 2, sort: bool = False) -> bytes:
    """Return records or plain data as indented JSON, as `encode` does; `sort` orders the names of objects."""
    return msgspec.json.format(encode_line(value, sort), indent=indent) + b"\n"


def encode_line(data: object, sort: bool = False) -> bytes:
    """Return a record or plain data as JSON in one line, with the same replacements."""
    order: Literal["sorted"] | None = "sorted" if sort else None
    try:
        return msgspec.json.encode(data, order=order, enc_hook=_as_list)
    except UnicodeEncodeError:  # a file name or a plugin's message in another encoding
        return msgspec.json.encode(_as_utf8(plain_data(data)), order=order)


def plain_data(record: object) -> Any:
    """Return a record as dictionaries, lists, texts and numbers."""
    return msgspec.to_builtins(record, enc_hook=_as_list)


def _as_list(value: object) -> list[Any]:
    """Return a `genbench.results.stored_series.StoredSeries` as what it stands for."""
    if isinstance(value, Sequence):
        return [*value]
    raise TypeError(f"{type(value).__name__} cannot be stored")


def decode(
    data: bytes, record_type: type[RecordType], version_field: str = "schema_version", latest: int = SCHEMA_VERSION
) -> RecordType:
    """Return the record in `data`; raise `DamagedError`, or `NewerFormatError` if its version is above `latest`."""
    data = without_byte_order_mark(data)
    if data.startswith(b'{\n  "%s": ' % version_field.encode()):  # as it was written: nearly always intact
        with suppress(msgspec.MsgspecError, ValueError, RecursionError):
            record = msgspec.json.decode(data, type=record_type)
            if 1 <= getattr(record, version_field) <= latest:
                return record
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
