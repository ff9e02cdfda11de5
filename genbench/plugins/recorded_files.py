"""Which plugin files of a run directory may be loaded: those that a command of this user recorded, unchanged.

A run directory may come from anybody, and loading a plugin runs its code. The command that makes a plan therefore signs
the paths and hashes of its plugin files with a key that only this user can read.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from genbench.errors import UsageError
from genbench.results.cache import cache_directory
from genbench.results.schema import RunRecord
from genbench.system.opening import is_for_owner_only, open_new, open_to_read

_KEY_BYTES = 32


class Allowed(NamedTuple):
    """What the user allows to be loaded for a run directory."""

    given: Sequence[str] = ()  # files named anew with --plugin; they replace the recorded ones
    trusted: bool = False  # --trust-plugins: the recorded files, whoever recorded them


RECORDED_ONLY = Allowed()  # the files that this user recorded


def sign_plugin_files(record: RunRecord) -> RunRecord:
    """Return the record with the hash of each plugin file and a signature; without one where no key can be kept."""
    if not record.plugin_files:
        return record
    hashes = [_hash(path) for path in record.plugin_files]
    key = _own_key(create=True)
    signature = _signature(key, record.plugin_files, hashes) if key else ""
    return msgspec.structs.replace(record, plugin_hashes=hashes, plugin_signature=signature)


def loadable_files(record: RunRecord, allowed: Allowed) -> list[str]:
    """Return the plugin files to load for a run directory.

    Raises `UsageError` for files that this user neither recorded nor allows, and for files that have changed since.
    """
    if allowed.given or not record.plugin_files:
        return list(allowed.given)
    files = ", ".join(record.plugin_files)
    if not allowed.trusted and not _is_signed(record):
        raise UsageError(
            f"The run directory names plugin files that no command of yours on this machine recorded: {files}.",
            "Loading them runs their code. Name those that you trust with --plugin, or use --trust-plugins to "
            "load the files above.",
            code="GB204",
        )
    for path, recorded in zip(record.plugin_files, record.plugin_hashes, strict=False):
        if _hash(path) != recorded:
            raise UsageError(
                f"The plugin file {path} has changed since the run was planned.",
                "Restore the file, or start a new run. To sample, or to go on where only metrics have changed, name "
                "the changed file with --plugin.",
                code="GB204",
            )
    return list(record.plugin_files)


def files_with_metrics(record: RunRecord, allowed: Allowed) -> list[str]:
    """Return the plugin files to load for measuring a run: the named ones, with its own in addition.

    Of the recorded files, those that `loadable_files` would load are added, which are needed for the cells' models.
    Raises the errors of `loadable_files` if no file is named.
    """
    if not allowed.given:
        return loadable_files(record, allowed)
    own = zip(record.plugin_files, record.plugin_hashes, strict=False) if allowed.trusted or _is_signed(record) else ()
    return [*allowed.given, *(path for path, known in own if path not in allowed.given and _is_unchanged(path, known))]


def _is_signed(record: RunRecord) -> bool:
    """Whether a command of this user has recorded the plugin files."""
    key = _own_key()
    signature = _signature(key, record.plugin_files, record.plugin_hashes) if key else ""
    noted = record.plugin_signature.encode(errors="replace")
    return bool(signature) and hmac.compare_digest(signature.encode(), noted)


def _is_unchanged(path: str, recorded: str) -> bool:
    try:
        return _hash(path) == recorded
    except UsageError:  # it has gone
        return False


def _hash(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise UsageError(
            f"The plugin file {path} cannot be read: {error.strerror}.",
            "Restore the file, or name its new place with --plugin.",
            code="GB203",
        ) from None


def _signature(key: bytes, files: Sequence[str], hashes: Sequence[str]) -> str:
    return hmac.new(key, msgspec.json.encode([files, hashes]), hashlib.sha256).hexdigest()


def _own_key(create: bool = False) -> bytes:
    """Return this user's key; empty where there is none, or where others could have written or read it."""
    path = cache_directory() / "signing.key"
    if create:
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(open_new(path, 0o600), "wb") as file:
                file.write(secrets.token_bytes(_KEY_BYTES))
    try:
        descriptor = open_to_read(path, follow_link=False)
    except OSError:
        return b""
    try:
        key = os.read(descriptor, _KEY_BYTES) if is_for_owner_only(os.fstat(descriptor)) else b""
    finally:
        os.close(descriptor)
    return key if len(key) == _KEY_BYTES else b""
