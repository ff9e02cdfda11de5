"""Folders that a plan names: one that is not there is found before anything is trained, not in the middle of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from genbench.api.options import Option, OptionValue
from genbench.errors import UsageError, near_miss


def require_folders(schema: tuple[Option, ...], values: Mapping[str, OptionValue], owner: str) -> None:
    """Raise `UsageError` where an option names a folder that is not there; an empty text names none."""
    for option in schema:
        value = values[option.name]
        if option.folder and isinstance(value, str) and value:
            require_folder(value, f"{owner}.{option.name}")


def require_folder(text: str, where: str) -> None:
    """Raise `UsageError` where there is no such folder; `where` is the option or flag that names it."""
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            return
        exists = path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # may not be entered, too long, no such user after ~
        raise UsageError(f"The folder {text!r} cannot be read: {error}.", f"Check {where}.") from None
    if exists:
        raise UsageError(f"{text} is a file, not a folder.", f"Let {where} name the folder, such as {path.parent}.")
    place = "" if path.is_absolute() else f"; it is looked for in {Path.cwd()}"
    raise UsageError(f"The folder {text} does not exist.{_neighbour(path)}", f"Check {where}{place}.")


def _neighbour(path: Path) -> str:
    """Return the near miss among the folders beside the one that is missing."""
    names: dict[str, Path] = {}
    with contextlib.suppress(OSError):
        names = {entry.name: entry for entry in path.parent.iterdir() if entry.is_dir()}
    return near_miss(path.name, names)
