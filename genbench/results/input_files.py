"""Reading a file that the user named: whatever is wrong with the path or the content becomes one `UsageError`.

Text may begin with the byte order mark that some editors write.
"""

from __future__ import annotations

import codecs
import errno
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from genbench.errors import UsageError
from genbench.results.files import read_regular_file, without_byte_order_mark

PathKind = Literal["missing", "file", "directory", "other"]


class _RepeatedNameError(ValueError):
    """A JSON object has two values with one name."""


class _NotTextError(ValueError):
    """The bytes are not UTF-8 text."""


def path_kind(path: Path) -> PathKind:
    """Return what is at a path; raise `UsageError` if the system refuses to say, or if it cannot be a path."""
    try:
        path.lstat()
        if path.is_dir():
            return "directory"
        return "file" if path.is_file() else "other" if path.exists() else "missing"
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOTDIR):
            return "missing"
        raise cannot_read(path, error) from None


def read_text(path: Path, cure: str = "") -> str:
    """Return the UTF-8 text of a file; raise `UsageError`."""
    data = _read(path, cure)
    try:
        return _decoded(data)
    except _NotTextError as error:
        raise UsageError(f"Cannot read {path}: {error}.", cure or "Save the file as UTF-8.", code="GB701") from None


def read_json(path: Path, cure: str = "") -> Any:
    """Return the content of a JSON file; raise `UsageError`, also for two values with one name in an object."""
    text = read_text(path, cure)
    try:
        return json.loads(text, object_pairs_hook=_object)
    except json.JSONDecodeError as error:
        found = "is empty" if not text.strip() else f"is not valid JSON (line {error.lineno}, column {error.colno})"
    except _RepeatedNameError as error:
        found = f"has two values with the name {error} in one object"
    except RecursionError:
        found = "is nested too deeply"
    except ValueError:  # Python converts no integer of more than 4,300 digits
        found = "contains a number with too many digits"
    raise UsageError(f"Cannot read {path}: it {found}.", cure, code="GB701")


def read_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file; raise `UsageError`."""
    data = _read(path, "Give the path of a TOML file.")
    try:
        return tomllib.loads(_decoded(data))
    except (_NotTextError, tomllib.TOMLDecodeError) as error:
        found = str(error)
    except RecursionError:
        found = "it is nested too deeply"
    except ValueError:
        found = "it contains a number or a date that cannot be represented"
    raise UsageError(f"{path} is not valid TOML: {found}.", "Correct the file.", code="GB105")


def cannot_read(path: Path, error: Exception, cure: str = "") -> UsageError:
    """Return the error for a path that cannot be read."""
    text = str(path)
    shown = f"{text[:200]}…" if len(text) > 200 else text
    if isinstance(error, OSError):
        found = error.strerror or "the system refuses"
    elif isinstance(error, RuntimeError):
        found = "the home directory is not known"
    else:  # NUL, or text that the file system cannot encode
        found = "this cannot be the path of a file"
    return UsageError(f"Cannot read {shown}: {found}.", cure or "Check the path and its permissions.", code="GB701")


def _read(path: Path, cure: str) -> bytes:
    try:
        if path.parent == Path("/dev/fd") or path == Path("/dev/stdin"):  # the shell's <(…): somebody writes to it
            return path.read_bytes()
        return read_regular_file(path.expanduser())
    except (OSError, ValueError, RuntimeError) as error:
        raise cannot_read(path, error, cure) from None


def _decoded(data: bytes) -> str:
    """Return UTF-8 text without its byte order mark; raise `_NotTextError`."""
    try:
        return without_byte_order_mark(data).decode("utf-8")
    except UnicodeDecodeError as error:
        wide = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        raise _NotTextError("it is UTF-16 text" if wide else f"byte {error.start + 1} is not UTF-8") from None


def _object(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _RepeatedNameError(name)
        found[name] = value
    return found
