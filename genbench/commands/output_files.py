"""Files that a user asked for: their paths, and writing them."""

from __future__ import annotations

from pathlib import Path

from genbench.errors import UsageError
from genbench.results.files import atomic_write


def output_path(given: str | Path, flag: str, suffix: str) -> Path:
    """Return the path of a file to write; raise `UsageError` for another suffix or a missing folder."""
    path = Path(given).expanduser()
    if path.suffix.lower() != suffix:
        raise UsageError(f"{flag} {given} is not a {suffix} file.", f"Use the suffix {suffix}.", code="GB710")
    if not path.parent.is_dir():
        raise UsageError(
            f"{flag} {given}: the folder {path.parent} does not exist.", "Create it, or choose another.", code="GB702"
        )
    return path


def write_output(path: Path, data: bytes, flag: str) -> None:
    """Write a file that the user asked for with `flag`; raise `UsageError` if the disk refuses."""
    try:
        atomic_write(path, data)
    except OSError as error:
        raise UsageError(
            f"Cannot write {path}: {error.strerror or error}.", f"Choose another {flag}.", code="GB702"
        ) from error
