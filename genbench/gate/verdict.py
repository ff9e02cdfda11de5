"""Verdicts on a change; only `ok` and `improved` pass."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from genbench.errors import ExitCode


class Verdict(StrEnum):
    """The verdict on one quantity, one cell or a whole comparison."""

    OK = "ok"  # significantly within the limit
    IMPROVED = "improved"  # significantly better than before
    REGRESSED = "regressed"  # significantly worse than the limit allows
    INCONCLUSIVE = "inconclusive"  # the measurements do not decide it
    NOT_COMPARABLE = "not-comparable"  # the two were not measured under the same conditions
    NO_DATA = "no-data"  # nothing was measured

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of a command with this verdict."""
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Verdict.OK: ExitCode.OK,
    Verdict.IMPROVED: ExitCode.OK,
    Verdict.REGRESSED: ExitCode.REGRESSED,
    Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    Verdict.NOT_COMPARABLE: ExitCode.NOT_COMPARABLE,
    Verdict.NO_DATA: ExitCode.FAILED_CELLS,
}

_WORST_FIRST = (
    Verdict.REGRESSED,
    Verdict.NO_DATA,
    Verdict.NOT_COMPARABLE,
    Verdict.INCONCLUSIVE,
    Verdict.OK,
    Verdict.IMPROVED,
)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the overall verdict of several parts; without any it is `no-data`, which never passes.

    `ok` is worse than `improved`: a whole has improved only if all of its parts have.
    """
    found = set(verdicts)
    return next((verdict for verdict in _WORST_FIRST if verdict in found), Verdict.NO_DATA)
