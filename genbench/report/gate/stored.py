"""The output of `genbench check` and `compare`: a table on a terminal, Markdown in a pull request, JUnit in CI."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

from tabulate import tabulate

from genbench.gate.judge import ERROR, Finding, overall
from genbench.gate.verdict import Verdict, worst
from genbench.report.gate.junit import Case, junit
from genbench.report.gate.markdown import WORST_FIRST, folded, heading, paragraph
from genbench.report.numbers import MISSING, change, p_relation, p_value, significant

HEADINGS = ("cell", "quantity", "base", "head", "change", "bounds", "p", "limit", "verdict")
_ALIGNED = ("left", "left", *["right"] * 6, "left")


def text(findings: Sequence[Finding], sides: tuple[str, str], everything: bool) -> str:
    """Return the table for a terminal; without `everything`, unchanged counters are summarised in one line."""
    shown, same = _chosen(findings, everything)
    lines = [f"base  {sides[0]}", f"head  {sides[1]}", ""]
    if shown:
        rows = [_row(finding) for finding in shown]
        lines += [tabulate(rows, HEADINGS, disable_numparse=True, colalign=_ALIGNED), ""]
    lines += [*_remarks(shown, same), f"Verdict: {overall(findings)}"]
    return "\n".join(lines) + "\n"


def summary(findings: Sequence[Finding], sides: tuple[str, str]) -> str:
    """Return Markdown, worst first; less important rows are folded."""
    verdict = overall(findings)
    shown, same = _chosen(sorted(findings, key=_importance), everything=False)
    lines = [*heading(verdict, "", *sides), *folded([_row(finding) for finding in shown], HEADINGS, _ALIGNED)]
    return "\n".join([*lines, *paragraph(_remarks(shown, same))]) + "\n"


def cases(findings: Sequence[Finding], suite: str) -> str:
    """Return JUnit XML with one test case per cell, whose message lists what does not pass."""
    by_cell: dict[str, list[Finding]] = {}
    for finding in findings:
        by_cell.setdefault(finding.cell, []).append(finding)
    return junit(suite, [_case(cell, own) for cell, own in by_cell.items()])


def document(findings: Sequence[Finding], sides: tuple[str, str]) -> dict[str, Any]:
    """Return everything for programs."""
    verdict = overall(findings)
    return {
        "base": sides[0],
        "head": sides[1],
        "verdict": verdict,
        "exit_code": int(verdict.exit_code),
        "findings": [asdict(finding) | {"conclusion": conclusion(finding)} for finding in findings],
    }


def conclusion(finding: Finding) -> str:
    """Return what a test says in plain English; empty if nothing was tested."""
    if finding.p_adjusted is None:
        return ""
    if finding.verdict is Verdict.REGRESSED:
        said = f"head is worse than base by more than {finding.limit or '0'}"
    elif finding.verdict is Verdict.IMPROVED:
        said = "head is better than base"
    elif finding.verdict is Verdict.OK:
        said = f"head is not worse than base by {finding.limit or '0'} or more"
    elif finding.judged:
        said = f"not decided whether head is worse than base by more than {finding.limit or '0'}"
    else:
        said = "not decided whether head differs from base" if finding.p_adjusted > ERROR else "head differs from base"
    shown = ""
    if finding.difference is not None and finding.difference_low is not None and finding.difference_high is not None:
        low, high = significant(finding.difference_low, 3), significant(finding.difference_high, 3)
        shown = f"difference {significant(finding.difference, 3)} ({low} to {high}), "
    return f"{said} ({shown}p {p_relation(finding.p_adjusted)}, {finding.test})"


def _case(cell: str, own: Sequence[Finding]) -> Case:
    judged = [finding for finding in own if finding.judged]
    if not judged:
        return Case(cell, Verdict.OK, own[0].reason or "nothing in it is judged", skipped=True)
    verdict = worst(finding.verdict for finding in judged)
    messages = [_message(finding) for finding in judged if finding.verdict is verdict]
    return Case(cell, verdict, "; ".join(messages))


def _message(finding: Finding) -> str:
    unit = f" {finding.unit}" if finding.unit else ""
    values = f"{_value(finding, 'base')} → {_value(finding, 'head')}{unit}" if finding.head is not None else ""
    return " ".join(
        part for part in (finding.quantity, values, f"({finding.reason})" if finding.reason else "") if part
    )


def _chosen(findings: Sequence[Finding], everything: bool) -> tuple[list[Finding], int]:
    """Return the findings worth a row, and how many counters are unchanged."""
    same = [f for f in findings if f.kind == "counter" and f.verdict is Verdict.OK and f.base == f.head]
    if everything or not same:
        return list(findings), 0
    left_out = {id(finding) for finding in same}
    return [finding for finding in findings if id(finding) not in left_out], len(same)


def _row(finding: Finding) -> list[str]:
    bounds = MISSING if finding.low is None else f"{change(finding.low)} … {change(finding.high)}"
    verdict = str(finding.verdict) if finding.judged else f"({'new' if finding.kind == 'cell' else finding.verdict})"
    return [
        finding.cell,
        f"{finding.quantity} ({finding.unit})" if finding.unit else finding.quantity or MISSING,
        _value(finding, "base"),
        _value(finding, "head"),
        change(finding.change),
        bounds,
        MISSING if finding.p_adjusted is None else p_value(finding.p_adjusted),
        finding.limit or MISSING,
        verdict,
    ]


def _remarks(shown: Sequence[Finding], same: int) -> list[str]:
    remarks = [f"{same} counters are unchanged."] if same else []
    if any(not finding.judged for finding in shown):
        remarks.append("In brackets: shown but not judged.")
    if tested := [finding for finding in shown if finding.p_adjusted is not None]:
        remarks.append(
            f"p: of no difference at all, two-sided, corrected for {len(tested)} tests (Holm); "
            f"bounds: each wrong with at most {100 * ERROR:g} %."
        )
        decided = [f for f in tested if f.verdict in (Verdict.REGRESSED, Verdict.IMPROVED)]
        remarks += [f"{finding.cell} {finding.quantity}: {conclusion(finding)}." for finding in decided]
    affected: dict[str, list[str]] = {}
    for finding in shown:
        if finding.reason:
            affected.setdefault(finding.reason, []).append(f"{finding.cell} {finding.quantity}".strip())
    return [*remarks, *(f"{_named(where)}: {reason}." for reason, where in affected.items())]


def _named(where: Sequence[str], most: int = 3) -> str:
    return ", ".join(where[:most]) + (f" and {len(where) - most} more" if len(where) > most else "")


def _importance(finding: Finding) -> tuple[bool, int]:
    return not finding.judged, WORST_FIRST.index(finding.verdict)


def _value(finding: Finding, side: Literal["base", "head"]) -> str:
    """Return the value of one side; 'n/a' where the reason of the finding says why it is no result."""
    return "n/a" if side in finding.uncertain else _number(finding.base if side == "base" else finding.head)


def _number(value: float | None) -> str:
    if value is None:
        return MISSING
    whole = math.isfinite(value) and value == round(value) and abs(value) < 1e15
    return f"{round(value):,}" if whole else significant(value)
