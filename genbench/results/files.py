"""One record, one file: written so that nothing is ever half there, read so that damage is told from age."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from genbench.results.schema import SCHEMA_VERSION, Record

RecordType = TypeVar("RecordType", bound=Record)


class DamagedError(Exception):
    """The bytes are not the record that they should be."""


class NewerFormatError(Exception):
    """The bytes were written in a format of a later version."""


class _Version(msgspec.Struct):
    schema_version: int = 0


def atomic_write(path: Path, data: bytes) -> None:
    """Make `data` the content of `path` at once: a reader sees the old file or the whole new one, even after a crash.

    Raises `OSError`, and leaves nothing behind, where the disk refuses.
    """
    # The suffix keeps a left-over of a killed process from being taken for a result.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        # The modes of an ordinary new file: a result is to be read by others as the umask says.
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


def encode(record: Record) -> bytes:
    """Return a record as indented JSON; numbers that are not finite become null, text that is not UTF-8 is replaced."""
    try:
        data = msgspec.json.encode(record)
    except UnicodeEncodeError:  # a file name or a plugin's message in another encoding
        data = msgspec.json.encode(_as_utf8(msgspec.to_builtins(record)))
    return msgspec.json.format(data, indent=2) + b"\n"


def decode(data: bytes, record_type: type[RecordType]) -> RecordType:
    """Return the record in `data`; raise `DamagedError` or `NewerFormatError`."""
    try:
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version > SCHEMA_VERSION:
            raise NewerFormatError(
                f"was written by a newer genbench (format {version}; this one reads up to {SCHEMA_VERSION})"
            )
        if version < 1:
            raise DamagedError("it has no schema_version")
        return msgspec.json.decode(data, type=record_type)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedError("it is empty" if not data else str(error)) from error


def _as_utf8(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_as_utf8(key): _as_utf8(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_utf8(item) for item in value]
    return value
