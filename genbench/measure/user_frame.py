"""Where in an author's code something happened: the innermost line that is neither torch's nor genbench's own."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import torch

import genbench

_TORCH = str(Path(torch.__file__).parent)
_GENBENCH = Path(genbench.__file__).parent
_HERE = Path(__file__).parent
_WATCHING = tuple(str(_HERE / name) for name in ("user_frame.py", "op_listener.py", "host_reads.py", "op_counts.py"))
_BUILTIN = str(_GENBENCH / "builtin")  # plugins like any other


class Line(NamedTuple):
    """A line of source."""

    file: str  # the whole path
    number: int
    own: bool  # of genbench itself, not of a plugin

    def __str__(self) -> str:
        name = str(Path(self.file).relative_to(_GENBENCH.parent)) if self.own else Path(self.file).name
        return f"{name}:{self.number}"


def _is_machinery(filename: str) -> bool:
    inside = filename.startswith(str(_GENBENCH)) and not filename.startswith(_BUILTIN)
    return inside or filename.startswith((_TORCH, "<"))


def place(error: BaseException) -> str:
    """Return ' (file, line N)' of an error's innermost line of a plugin; empty where none is."""
    found = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    return f" ({Path(found[-1].filename).name}, line {found[-1].lineno})" if found else ""


def caller() -> Line | None:
    """Return the line that is being executed, of a plugin or of genbench: not torch's, nor of what watches."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((_TORCH, "<")) and name not in _WATCHING:
            return Line(name, frame.f_lineno, _is_machinery(name))
        frame = frame.f_back
    return None
