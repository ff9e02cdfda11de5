"""From an error to a status and a reason for the person who has to mend it."""

from __future__ import annotations

import contextlib
import traceback
from pathlib import Path

from genbench.errors import GenbenchError
from genbench.execute.limits import is_out_of_memory
from genbench.results.schema import Status

_LONGEST = 2000  # characters of an error's text that are kept


def diagnose(error: BaseException) -> tuple[Status, str]:
    """Return the status of a cell that ended in this error, and the reason: what happened, where, and the cure."""
    text = str(error).strip()[:_LONGEST]
    if is_out_of_memory(error):
        first = text.splitlines()[0] if text else "memory ran out"
        return "oom", f"{first[:300]}; use a smaller --batch-size, or raise --memory-limit"
    if isinstance(error, GenbenchError):
        return "failed", text
    return "failed", f"{type(error).__name__}: {text}{_place(error)}"


def write_traceback() -> None:
    """Write the traceback of the error being handled to the log; a full disk must not become a second error."""
    with contextlib.suppress(OSError, ValueError):
        traceback.print_exc()


def _place(error: BaseException) -> str:
    """Return the innermost line that belongs neither to this package's own machinery nor to torch."""
    frames = list(traceback.extract_tb(error.__traceback__))
    machinery = (str(Path("genbench", "execute")), str(Path("site-packages", "torch")))
    outside = [frame for frame in frames if not any(part in frame.filename for part in machinery)]
    if not frames:
        return ""
    place = (outside or frames)[-1]
    return f" ({Path(place.filename).name}, line {place.lineno})"
