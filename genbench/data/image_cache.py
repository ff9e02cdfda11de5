"""Prepared datasets on disk: decoded once, memory-mapped by every later start.

An entry is a directory ``<cache>/prepared/<dataset>-<key>`` of plain .npy files and ``entry.json``, which holds their
sizes and times, the content hash (of pixels and labels) and the loader's notes, with a checksum. It is written to a
temporary directory and renamed, so it is either complete or absent. A later use decodes and hashes nothing, and does
not read the files through. Entries may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from genbench.api.images import ImageData, Images
from genbench.api.options import OptionValue
from genbench.data.content_hash import content_hash
from genbench.system.locks import FileLock

CACHE_VERSION = 1  # raised when the content of an entry, or how built-in loaders prepare images, changes

_ARRAYS = ("train_pixels", "train_labels", "test_pixels", "test_labels")  # the order in which they are hashed
_SCRATCH = ".writing-"


class _File(msgspec.Struct, frozen=True):
    name: str
    bytes: int
    time: int  # of the last change, in ns: shows that a file was overwritten


class _Entry(msgspec.Struct, frozen=True):
    files: list[_File]
    hash: str  # of the content
    class_names: list[str]
    notes: list[str]
    factors: list[str] = []  # names, in the order of the files


class _ChecksummedEntry(msgspec.Struct, frozen=True):
    checksum: str  # SHA-256 of the entry's JSON text
    entry: msgspec.Raw


def entry_path(cache: Path, name: str, plugin: str, options: Mapping[str, OptionValue], signature: str) -> Path:
    """Return the path of an entry, which differs for each plugin version, set of options and state of the sources."""
    parts = [CACHE_VERSION, name, plugin, dict(options), ascii(signature)]
    key = hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()
    return cache / "prepared" / f"{name}-{key[:24]}"


def read_entry(path: Path) -> tuple[ImageData, str] | None:
    """Return the images, mapped read-only, with their content hash; None where the entry is missing or damaged.

    Only quick checks are made: the checksum of entry.json, and each file's size, time and header.
    """
    try:
        stored = msgspec.json.decode((path / "entry.json").read_bytes(), type=_ChecksummedEntry)
        if hashlib.sha256(stored.entry).hexdigest() != stored.checksum:
            return None
        entry = msgspec.json.decode(stored.entry, type=_Entry)
        arrays: dict[str, Tensor] = {}
        for file in entry.files:
            status = (path / file.name).stat()
            if (status.st_size, status.st_mtime_ns) != (file.bytes, file.time):
                return None
            arrays[file.name.removesuffix(".npy")] = _map(path / file.name)
        data = ImageData(
            train=Images(arrays["train_pixels"], arrays.get("train_labels")),
            test=Images(arrays["test_pixels"], arrays.get("test_labels")),
            class_names=tuple(entry.class_names),
            notes=tuple(entry.notes),
            factors={name: arrays[_factor(number)] for number, name in enumerate(entry.factors)},
        )
    except (OSError, ValueError, KeyError, msgspec.MsgspecError):
        return None
    return data, entry.hash


def write_entry(path: Path, data: ImageData) -> str:
    """Write an entry, replacing a damaged one, and return the content hash.

    `data` holds CPU tensors. Where two processes write the same entry, the first one is kept; they are identical.
    Raises `OSError`, and leaves nothing behind, where writing fails.
    """
    with _scratch(path.parent) as scratch:
        parts = (data.train.pixels, data.train.labels, data.test.pixels, data.test.labels)
        tensors = [None if part is None else torch.as_tensor(part) for part in parts]
        with contextlib.ExitStack() as opened:
            files = {}
            for number, (name, tensor) in enumerate(zip(_ARRAYS, tensors, strict=True)):
                if tensor is not None:
                    files[number] = opened.enter_context((scratch / f"{name}.npy").open("wb"))
                    _write_header(files[number], tensor)
            found = content_hash(tensors, lambda number, piece: files[number].write(piece))
            for number, values in enumerate(data.factors.values()):
                factor = opened.enter_context((scratch / f"{_factor(number)}.npy").open("wb"))
                np.save(factor, torch.as_tensor(values).numpy(), allow_pickle=False)
                files[len(_ARRAYS) + number] = factor
            for file in files.values():  # after a power failure, entry.json must not exist without its files
                file.flush()
                os.fsync(file.fileno())
        entry = _Entry(
            files=[_describe(file) for file in sorted(scratch.glob("*.npy"))],
            hash=found,
            class_names=list(data.class_names),
            notes=list(data.notes),
            factors=list(data.factors),
        )
        text = msgspec.json.encode(entry)
        stored = _ChecksummedEntry(checksum=hashlib.sha256(text).hexdigest(), entry=msgspec.Raw(text))
        (scratch / "entry.json").write_bytes(msgspec.json.encode(stored))
        _move(scratch, path)
    return found


def _factor(number: int) -> str:
    return f"factor_{number}"


@contextlib.contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """Yield a directory to write in, next to the entries; those that killed processes left behind are removed first.

    A lock, which the system releases when its process ends, distinguishes them from directories in use.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        with _locked(parent, wait=True) as locks:  # no process may see the new directory before it is locked
            for old in parent.glob(f"{_SCRATCH}*") if locks else ():
                with contextlib.suppress(OSError):
                    with _locked(old) as abandoned:
                        pass
                    if abandoned:  # nobody uses it again
                        shutil.rmtree(old)
            outer = Path(tempfile.mkdtemp(prefix=_SCRATCH, dir=parent))
            held.callback(shutil.rmtree, outer, ignore_errors=True)
            held.enter_context(_locked(outer))
        inner = outer / "entry"
        inner.mkdir()
        yield inner


@contextlib.contextmanager
def _locked(directory: Path, wait: bool = False) -> Iterator[bool]:
    """Lock a directory, and yield whether that succeeded: it may be in use, or the file system may lack locks."""
    with FileLock(directory) as lock:
        try:
            lock.take(wait)
            held = True
        except OSError:
            held = False
        yield held


def _move(scratch: Path, path: Path) -> None:
    for attempt in range(3):
        try:
            scratch.rename(path)
        except OSError:
            if attempt == 2:
                raise
            if read_entry(path) is not None:
                return  # another process was faster, with the same content
            with contextlib.suppress(FileNotFoundError):
                path.rename(scratch.parent / f"damaged-{attempt}")
        else:
            return


def _write_header(file: Any, tensor: Tensor) -> None:
    description = np.lib.format.dtype_to_descr(torch.empty(0, dtype=tensor.dtype).numpy().dtype)
    header = {"descr": description, "fortran_order": False, "shape": tuple(tensor.shape)}
    np.lib.format.write_array_header_1_0(file, header)


def _describe(file: Path) -> _File:
    status = file.stat()
    return _File(file.name, status.st_size, status.st_mtime_ns)


def _map(file: Path) -> Tensor:
    array = np.load(file, mmap_mode="r", allow_pickle=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that it has no read-only tensors
        return torch.from_numpy(array)
