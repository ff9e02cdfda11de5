"""Initial weights: from what a user names to a file and its hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

from genbench.errors import UsageError
from genbench.results.store import RunDirectory

SUFFIX = ".safetensors"


def initial_weights(source: str) -> Path:
    """Return the file of weights that ``RUN:CELL`` or a path names; raise `UsageError` where there is none."""
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
            "Name a run directory and a cell of it, such as results/first:dcgan, or a file of weights.",
        )
    directory = RunDirectory.open(run)
    planned = directory.find_cell(cell)
    path = directory.checkpoint_path(planned.id)
    if not path.is_file():
        raise UsageError(
            f"init_from: the cell {planned.id} of {run} has left no weights.",
            f"Choose a cell whose training ended; see `genbench show {run}`.",
        )
    return path


def file_hash(path: Path) -> str:
    """Return the sha256 of a file's content; raise `UsageError` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}.") from None
