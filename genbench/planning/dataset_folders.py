"""Checks that the folders a plan names exist, before anything is trained."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from genbench.api.options import Option, OptionValue
from genbench.errors import UsageError, near_miss


def require_folders(schema: tuple[Option, ...], values: Mapping[str, OptionValue], owner: str) -> None:
    """Raise `UsageError` if an option names a folder that does not exist; an empty text names none."""
    for option in schema:
        value = values[option.name]
        if option.folder and isinstance(value, str) and value:
            require_folder(value, f"{owner}.{option.name}")


def require_folder(text: str, where: str) -> None:
    """Raise `UsageError` if there is no such folder; `where` is the option or flag that names it."""
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            return
        exists = path.exists()
    except (OSError, ValueError, RuntimeError) as error:  # no permission, name too long, unknown user after ~
        raise UsageError(f"The folder {text!r} cannot be read: {error}.", f"Check {where}.", code="GB305") from None
    if exists:
        raise UsageError(
            f"{text} is a file, not a folder.", f"Set {where} to the folder, such as {path.parent}.", code="GB305"
        )
    searched = "" if path.is_absolute() else f"; the path is relative to {Path.cwd()}"
    raise UsageError(f"The folder {text} does not exist.{_suggestion(path)}", f"Check {where}{searched}.", code="GB305")


def _suggestion(path: Path) -> str:
    """Suggest an existing folder with a similar name in the same parent."""
    names: dict[str, Path] = {}
    with contextlib.suppress(OSError):
        names = {entry.name: entry for entry in path.parent.iterdir() if entry.is_dir()}
    return near_miss(path.name, names)
