"""The doctor's report: what `--json` prints, and the lines of the table."""

from __future__ import annotations

import textwrap

import msgspec

from genbench.doctor.finding import Figure, Status

REPORT_VERSION = 1  # raised when a field is removed or changes its meaning; fields may be added
_STATUS_WIDTH = len("not applicable")
_WIDTH = 118


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """One check and its finding; its fields are those of the JSON."""

    name: str
    question: str
    status: Status
    seconds: float
    figures: list[Figure] = []
    reason: str = ""
    remedy: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """All checks of one call."""

    version: int = REPORT_VERSION
    genbench: str
    device: str  # as asked for
    checked: str  # the device that was checked
    checks: list[CheckReport]

    def count(self, status: Status) -> int:
        """Return the number of checks with this status."""
        return sum(check.status == status for check in self.checks)

    @property
    def passed(self) -> bool:
        """Whether no check failed; warnings do not count as failures."""
        return not self.count("failed")


def as_data(report: Report) -> dict[str, object]:
    """Return the report as plain data, with its verdict."""
    data: dict[str, object] = msgspec.to_builtins(report)
    return {"version": data.pop("version"), "passed": report.passed, **data}


def lines(check: CheckReport, name_width: int) -> list[str]:
    """Return the rest of a row that begins with the check's name, and below it what is wrong and what to do."""
    figures = ", ".join(map(str, check.figures))
    remark = check.reason if check.status in ("passed", "not applicable") else ""
    shown = "; ".join(part for part in (figures, remark) if part)
    head = f"{'':<{name_width}}  {check.status:<{_STATUS_WIDTH}}  "
    first, *rest = _wrapped(shown, head, len(head))
    rows = [first[name_width:], *rest]
    if check.status in ("failed", "warning"):
        indent = " " * (name_width + 2)
        rows += _wrapped(check.reason, f"{indent}found:  ", len(indent) + 8)
        rows += _wrapped(check.remedy, f"{indent}remedy: ", len(indent) + 8)
    return rows


def summary(report: Report) -> str:
    """Return the last line."""
    statuses: tuple[Status, ...] = ("passed", "warning", "failed", "not applicable")
    counted = [(status, report.count(status)) for status in statuses]
    return ", ".join(f"{number} {status}" for status, number in counted if number or status in ("passed", "failed"))


def _wrapped(text: str, first: str, indent: int) -> list[str]:
    wrapped = textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapped or [first.rstrip()]
