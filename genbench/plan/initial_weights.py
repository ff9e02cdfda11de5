"""Initial weights: resolving the setting `init_from` to a file and its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from genbench.errors import UsageError
from genbench.results.store import RunDirectory

SUFFIX = ".safetensors"


def initial_weights_path(source: str) -> Path:
    """Return the weights file named by ``RUN:CELL`` or a path; raise `UsageError` if there is none."""
    if source.endswith(SUFFIX):
        path = Path(source).expanduser()
        if not path.is_file():
            raise UsageError(
                f"init_from: the file {source} does not exist.", "Check the path; it may also be RUN:CELL."
            )
        return path
    run, colon, cell = source.rpartition(":")
    if not (colon and run and cell):
        raise UsageError(
            f"init_from = '{source}' is neither RUN:CELL nor a {SUFFIX} file.",
            "Name a run directory and one of its cells, such as results/first:dcgan, or a weights file.",
        )
    directory = RunDirectory.open(run)
    planned = directory.find_cell(cell)
    path = directory.checkpoint_path(planned.id)
    if not path.is_file():
        raise UsageError(
            f"init_from: the cell {planned.id} of {run} has no stored weights.",
            f"Choose a cell that finished training; see `genbench show {run}`.",
        )
    return path


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file's content; raise `UsageError` if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from None
