"""Initial weights: resolving the setting `init_from` to a file and its hash.

The hash is part of a cell's identity. It covers the tensors of the file, not its bytes, because two files of equal
tensors may differ in the order of their metadata and in what these say about where the tensors came from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from genbench.errors import UsageError
from genbench.results.store import RunDirectory

SUFFIX = ".safetensors"
_LARGEST_HEADER = 100_000_000  # bytes, the limit of the format
_CHUNK = 1 << 20


def initial_weights_path(source: str) -> Path:
    """Return the weights file named by ``RUN:CELL`` or a path; raise `UsageError` if there is none."""
    if source.endswith(SUFFIX):
        path = Path(source).expanduser()
        if not path.is_file():
            raise UsageError(
                f"init_from: the file {source} does not exist.",
                "Check the path; it may also be RUN:CELL.",
                code="GB508",
            )
        return path
    run, colon, cell = source.rpartition(":")
    if not (colon and run and cell):
        raise UsageError(
            f"init_from = '{source}' is neither RUN:CELL nor a {SUFFIX} file.",
            "Name a run directory and one of its cells, such as results/first:dcgan, or a weights file.",
            code="GB508",
        )
    directory = RunDirectory.open_unpacked(run)
    planned = directory.find_cell(cell)
    path = directory.checkpoint_path(planned.id)
    if not path.is_file():
        raise UsageError(
            f"init_from: the cell {planned.id} of {run} has no stored weights.",
            f"Choose a cell that finished training; see `genbench show {run}`.",
            code="GB508",
        )
    return path


def weights_hash(path: Path) -> str:
    """Return the SHA-256 of a file's tensors: names, types, shapes and bytes, in the order of the names.

    For a file that is not in the format of safetensors, which cannot be loaded either, it is that of the file. Raises
    `UsageError` if the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            try:
                return _hash_of_tensors(file)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                file.seek(0)
                return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.", code="GB508") from None


def is_unchanged(path: Path, planned: str) -> bool:
    """Return whether a file has the hash with which a run was planned; earlier versions hashed the file's bytes."""
    if weights_hash(path) == planned:
        return True
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == planned


def _hash_of_tensors(file: BinaryIO) -> str:
    """Return the hash of the tensors of a safetensors file: a length, a JSON header, and the bytes of all tensors."""
    size = int.from_bytes(file.read(8), "little")
    if size > _LARGEST_HEADER:
        raise ValueError("the header is too large")
    header = json.loads(file.read(size))
    digest = hashlib.sha256()
    for name in sorted(header.keys() - {"__metadata__"}):
        tensor = header[name]
        begin, end = tensor["data_offsets"]
        what = json.dumps([name, tensor["dtype"], list(tensor["shape"]), int(end) - int(begin)])
        digest.update(what.encode())
        for part in _read_range(file, 8 + size + begin, end - begin):
            digest.update(part)
    return digest.hexdigest()


def _read_range(file: BinaryIO, begin: int, count: int) -> Iterator[bytes]:
    """Yield `count` bytes in parts; raise ValueError if the file is shorter."""
    if begin < 0 or count < 0:
        raise ValueError("a tensor has a negative place or size")
    file.seek(begin)
    while count:
        part = file.read(min(count, _CHUNK))
        if not part:
            raise ValueError("the file ends within a tensor")
        count -= len(part)
        yield part
