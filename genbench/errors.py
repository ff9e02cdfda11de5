"""Errors, with messages for the person who has to fix them, and the codes that scripts and readers rely on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """The documented exit codes of the command line; each has one meaning."""

    OK = 0
    REGRESSED = 1
    USAGE = 2  # the request is invalid
    INCONCLUSIVE = 3
    NOT_COMPARABLE = 4
    FAILED_CELLS = 5  # no data, or at least one cell or metric failed
    BUG = 70
    INTERRUPTED = 130  # Ctrl-C or SIGTERM; `genbench run --resume RUN` continues


class GenbenchError(Exception):
    """An error with a cause and a remedy (`cure`); printed without a traceback.

    Its `code`, such as ``GB103``, says of which kind the cause is, for `genbench.explain`. Plugins leave it out.
    """

    exit_code = ExitCode.USAGE
    code = "GB208"  # unless an error has one of its own; genbench/error_codes.toml describes all

    def __init__(self, cause: str, cure: str = "", *, code: str = "") -> None:
        super().__init__(f"{cause}\n{cure}" if cure else cause)
        self.cause = cause
        self.cure = cure
        self.code = code or self.code


class UsageError(GenbenchError):
    """The request is invalid."""

    code = "GB103"


class SpecError(GenbenchError):
    """A plugin registered something that breaks the contract; only that plugin is affected."""

    code = "GB201"


class NetworkError(GenbenchError):
    """A network of a model returned what its family cannot use; raised by families.

    `cause` continues "The network 'encoder'", such as "returned None instead of (mean, log_variance)". The run adds the
    name of the model and where the network is defined.
    """

    code = "GB206"

    def __init__(self, network: str, cause: str, cure: str = "") -> None:
        super().__init__(cause, cure)
        self.network = network


class DataError(GenbenchError):
    """A dataset is missing, unreadable or too small."""

    exit_code = ExitCode.FAILED_CELLS
    code = "GB302"


class NoDataError(GenbenchError):
    """There is nothing to show or compare."""

    exit_code = ExitCode.FAILED_CELLS
    code = "GB709"


def how_to_explain(*codes: str) -> str:
    """Return the last line of a message that ends a command."""
    return f"More: genbench explain {' '.join(codes)}"


def near_miss(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or an empty string."""
    best = nearest(name, known)
    return f" Did you mean '{best}'?" if best else ""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the closest known name, or an empty string if none is similar."""
    close = difflib.get_close_matches(name.lower(), [str(k) for k in known], n=3, cutoff=0.6)
    return min(close, key=lambda found: (-_similarity(name, found), abs(len(found) - len(name))), default="")


def _similarity(name: str, other: str) -> float:
    return difflib.SequenceMatcher(None, other, name.lower()).ratio()
