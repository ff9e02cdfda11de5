"""What can go wrong, in words for the person who has to mend it, and the exit codes that say so to a script."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """The documented promises of the command line; no two meanings share a code."""

    OK = 0
    REGRESSED = 1
    USAGE = 2  # the request cannot be carried out as it stands
    INCONCLUSIVE = 3
    NOT_COMPARABLE = 4
    FAILED_CELLS = 5  # no data, or at least one cell did not end well
    BUG = 70
    INTERRUPTED = 130  # Ctrl-C or SIGTERM; `genbench run --resume RUN` goes on


class GenbenchError(Exception):
    """An error with a cause and a cure; printed without a traceback."""

    exit_code = ExitCode.USAGE

    def __init__(self, cause: str, cure: str = "") -> None:
        super().__init__(f"{cause}\n{cure}" if cure else cause)
        self.cause = cause
        self.cure = cure


class UsageError(GenbenchError):
    """What was asked for cannot be done as it stands."""


class SpecError(GenbenchError):
    """A plugin registered something that breaks the contract; it costs that plugin only."""


class DataError(GenbenchError):
    """A dataset is missing, unreadable or too small."""

    exit_code = ExitCode.FAILED_CELLS


class NoDataError(GenbenchError):
    """There is nothing to show or compare."""

    exit_code = ExitCode.FAILED_CELLS


def near_miss(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or an empty string."""
    close = difflib.get_close_matches(name.lower(), [str(k) for k in known], n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
