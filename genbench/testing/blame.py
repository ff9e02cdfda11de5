"""Where in an author's code something happened: the innermost line that is neither torch's nor genbench's own."""

from __future__ import annotations

import traceback
from pathlib import Path

import torch

import genbench

_TORCH = str(Path(torch.__file__).parent)
_GENBENCH = Path(genbench.__file__).parent
_WATCHING = (__file__, str(Path(__file__).with_name("watching.py")))
_BUILTIN = str(_GENBENCH / "builtin")  # plugins like any other


def _is_machinery(filename: str) -> bool:
    inside = filename.startswith(str(_GENBENCH)) and not filename.startswith(_BUILTIN)
    return inside or filename.startswith((_TORCH, "<"))


def place(error: BaseException) -> str:
    """Return ' (file, line N)' of an error's innermost line of a plugin; empty where none is."""
    found = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_machinery(frame.filename)]
    return _words(found)


def caller() -> str:
    """Return ' (file, line N)' of the plugin's line that is being executed; empty where genbench itself is at work."""
    for frame in reversed(traceback.extract_stack()):
        if frame.filename.startswith((_TORCH, "<")) or frame.filename in _WATCHING:
            continue
        return "" if _is_machinery(frame.filename) else _words([frame])
    return ""


def _words(frames: list[traceback.FrameSummary]) -> str:
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
