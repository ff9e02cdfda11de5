"""The verdicts: what is known of a change. Only `ok` and `improved` let it pass."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from genbench.errors import ExitCode


class Verdict(StrEnum):
    """What is known of one quantity, one cell or a whole comparison."""

    OK = "ok"  # surely not worse than the limit allows
    IMPROVED = "improved"  # surely better than before
    REGRESSED = "regressed"  # surely worse than the limit allows
    INCONCLUSIVE = "inconclusive"  # the measurements do not tell
    NOT_COMPARABLE = "not-comparable"  # the two were not measured under the same conditions
    NO_DATA = "no-data"  # nothing was measured

    @property
    def exit_code(self) -> ExitCode:
        """The documented exit code of a command that ends in this verdict."""
        return _EXIT_CODES[self]


_EXIT_CODES = {
    Verdict.OK: ExitCode.OK,
    Verdict.IMPROVED: ExitCode.OK,
    Verdict.REGRESSED: ExitCode.REGRESSED,
    Verdict.INCONCLUSIVE: ExitCode.INCONCLUSIVE,
    Verdict.NOT_COMPARABLE: ExitCode.NOT_COMPARABLE,
    Verdict.NO_DATA: ExitCode.FAILED_CELLS,
}

_GRAVEST_FIRST = (
    Verdict.REGRESSED,
    Verdict.NO_DATA,
    Verdict.NOT_COMPARABLE,
    Verdict.INCONCLUSIVE,
    Verdict.OK,
    Verdict.IMPROVED,
)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of a whole from those of its parts; of no parts it is `no-data`, which never passes.

    `ok` is graver than `improved`: a whole has improved where all of it has.
    """
    found = set(verdicts)
    return next((verdict for verdict in _GRAVEST_FIRST if verdict in found), Verdict.NO_DATA)
