"""Locating an error or a call in a plugin author's code: the innermost line outside torch and genbench's machinery."""

from __future__ import annotations

import inspect
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import torch

import genbench

_GENBENCH = Path(genbench.__file__).parent
_BUILTIN = f"{_GENBENCH / 'builtin'}{os.sep}"  # plugins like any other
_SITE_PACKAGES = Path(torch.__file__).parents[1]
_LIBRARIES = tuple(f"{_SITE_PACKAGES / name}{os.sep}" for name in ("torch", "torchvision", "numpy", "PIL"))
_STANDARD_LIBRARY = f"{Path(os.__file__).parent}{os.sep}"
_OBSERVERS = tuple(
    str(_GENBENCH / "measure" / name) for name in ("user_frame.py", "op_listener.py", "host_reads.py", "op_counts.py")
)


class Line(NamedTuple):
    """A line of source code."""

    file: str  # the whole path
    number: int
    own: bool  # belongs to genbench itself, not to a plugin

    def __str__(self) -> str:
        name = Path(self.file).relative_to(_GENBENCH.parent).as_posix() if self.own else Path(self.file).name
        return f"{name}:{self.number}"


def error_location(error: BaseException, or_machinery: bool = False) -> str:
    """Return ' (file, line N)' for the innermost line of a plugin in an error's traceback, or an empty string.

    An installed plugin's line takes precedence over a built-in plugin's. With `or_machinery`, an error that passed
    through no plugin is located in genbench, or else wherever it was raised.
    """
    frames = traceback.extract_tb(error.__traceback__)
    builtin = [frame for frame in frames if frame.filename.startswith(_BUILTIN)]
    machinery = [frame for frame in frames if _is_genbench(frame.filename)] or frames if or_machinery else []
    return third_party_location(error) or _innermost(builtin or machinery)


def third_party_location(error: BaseException) -> str:
    """Return ' (file, line N)' for the innermost line of an installed plugin or plugin file, or an empty string."""
    frames = traceback.extract_tb(error.__traceback__)
    return _innermost([frame for frame in frames if not (_is_library(frame.filename) or _is_genbench(frame.filename))])


def definition(function: object) -> str:
    """Return ' (file, line N)' where a function is defined, or an empty string."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return "" if code is None else f" ({Path(code.co_filename).name}, line {code.co_firstlineno})"


def _innermost(frames: Sequence[traceback.FrameSummary]) -> str:
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def calling_line() -> Line | None:
    """Return the innermost line being executed that is neither a library's nor part of the observers themselves."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not _is_library(name) and name not in _OBSERVERS:
            return Line(name, frame.f_lineno, _is_genbench(name) and not name.startswith(_BUILTIN))
        frame = frame.f_back
    return None


def _is_genbench(filename: str) -> bool:
    return filename.startswith(f"{_GENBENCH}{os.sep}")


def _is_library(filename: str) -> bool:
    """Return whether a file belongs to torch, to another library that plugins call, or to the standard library."""
    if filename.startswith(("<", *_LIBRARIES)):
        return True
    return filename.startswith(_STANDARD_LIBRARY) and "-packages" not in filename
