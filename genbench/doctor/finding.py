"""What a check of the doctor finds: a status, figures with units, and a remedy in plain words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Status = Literal["passed", "warning", "failed", "not applicable"]
_BY_WEIGHT: tuple[Status, ...] = ("failed", "warning", "passed", "not applicable")


class Figure(msgspec.Struct, frozen=True):
    """A measured or reported value; text has no unit. `allowed` is the limit of a value that has one."""

    name: str
    value: float | int | str
    unit: str = ""
    allowed: float | None = None

    def __str__(self) -> str:
        value = f"{self.value:.4g}" if isinstance(self.value, float) else str(self.value)
        limit = "" if self.allowed is None else f"(allowed {self.allowed:.4g})"
        return " ".join(part for part in (self.name, value, self.unit, limit) if part)


class Finding(msgspec.Struct, frozen=True):
    """The outcome of a check. A warning is something to know that makes no result wrong."""

    status: Status
    figures: list[Figure] = []
    reason: str = ""  # what is wrong, or why the check does not apply
    remedy: str = ""  # what to do about it


def passed(*figures: Figure, reason: str = "") -> Finding:
    """Return that all is well; `reason` is a remark."""
    return Finding("passed", [*figures], reason)


def warning(reason: str, remedy: str, *figures: Figure) -> Finding:
    """Return that something deserves attention, though results are right."""
    return Finding("warning", [*figures], reason, remedy)


def failed(reason: str, remedy: str, *figures: Figure) -> Finding:
    """Return that something does not work, or would make results wrong."""
    return Finding("failed", [*figures], reason, remedy)


def not_applicable(reason: str, *figures: Figure) -> Finding:
    """Return that there is nothing to check here."""
    return Finding("not applicable", [*figures], reason)


def combined(findings: Iterable[Finding]) -> Finding:
    """Return one finding for several subjects: the worst status, its reasons and remedies, and all figures."""
    found = list(findings)
    if not found:
        return not_applicable("there is nothing to check")
    status = min((one.status for one in found), key=_BY_WEIGHT.index)
    worst = [one for one in found if one.status == status]
    return Finding(
        status,
        [figure for one in found for figure in one.figures],
        " ".join(dict.fromkeys(one.reason for one in worst if one.reason)),
        " ".join(dict.fromkeys(one.remedy for one in worst if one.remedy)),
    )


def one_line(error: BaseException) -> str:
    """Return the type of an error and the first line of its message."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}".rstrip(":. ")
