"""The output of `genbench ab`: a table on a terminal, Markdown in a pull request, JUnit in CI."""

from __future__ import annotations

from tabulate import tabulate

from genbench.gate.quantity import INVISIBLE, NAMES
from genbench.gate.verdict import Verdict
from genbench.report.gate.junit import Case, junit
from genbench.report.gate.markdown import WORST_FIRST, folded, heading, paragraph
from genbench.report.numbers import MISSING, change
from genbench.results.comparison import CellDecision, Comparison, OtherQuantity, QuantityChoice

HEADINGS = ("cell", "per step", "change", "bounds", "blocks", "verdict")


def describe(decision: CellDecision) -> str:
    """Return what is known about a cell in one line."""
    if decision.presence == "new":
        return f"new: {decision.reason}"
    parts = []
    if decision.change is not None:
        parts.append(
            f"{change(decision.change)} {NAMES[decision.quantity]} per step, between {_bounds(decision)} after "
            f"{decision.blocks} blocks"
        )
    if decision.more_blocks is not None:
        parts.append(f"about {decision.more_blocks:,} more blocks would decide")
    return "; ".join([*parts, *([decision.reason] if decision.reason else [])])


def planned(choice: QuantityChoice) -> str:
    """Return by which quantity a comparison is decided, and why."""
    reason = f" ({choice.reason})" if choice.reason else ""
    return f"Decided by {NAMES[choice.quantity]}{reason}"


def text(comparison: Comparison) -> str:
    """Return the table for a terminal, with the limit and the precision."""
    lines = [f"base  {comparison.base}", f"head  {comparison.head}", ""]
    lines += [tabulate(_rows(comparison), HEADINGS, disable_numparse=True, colalign=_ALIGNED), ""]
    lines += [*_remarks(comparison), f"Verdict: {comparison.verdict}" + _because(comparison)]
    return "\n".join(lines) + "\n"


def summary(comparison: Comparison) -> str:
    """Return Markdown for a step summary or a comment, the most important rows first."""
    verdict, because = Verdict(comparison.verdict), _because(comparison)
    lines = [
        *heading(verdict, because, comparison.base, comparison.head),
        *folded(_rows(comparison), HEADINGS, _ALIGNED),
    ]
    return "\n".join([*lines, *paragraph(_remarks(comparison))]) + "\n"


def cases(comparison: Comparison) -> str:
    """Return JUnit XML with one test case per cell."""
    seconds: dict[str, float] = {}
    for block in comparison.blocks:
        for cell, windows in block.cells.items():
            seconds[cell] = seconds.get(cell, 0.0) + sum(windows.seconds)
    return junit(
        "genbench ab",
        [
            Case(d.cell, Verdict(d.verdict), describe(d), seconds.get(d.cell, 0.0), skipped=d.presence == "new")
            for d in comparison.cells
        ],
    )


_ALIGNED = ("left", "left", "right", "right", "right", "left")


def _rows(comparison: Comparison) -> list[list[str]]:
    ordered = sorted(comparison.cells, key=lambda decision: WORST_FIRST.index(Verdict(decision.verdict)))
    return [row for decision in ordered for row in _rows_of(decision)]


def _rows_of(decision: CellDecision) -> list[list[str]]:
    """Return the row that decides, and one for each quantity that was measured beside it."""
    verdict = "new" if decision.presence == "new" else decision.verdict
    shown = [_row(decision.cell, decision, str(decision.blocks), verdict)]
    return shown + [_row("", other, "", f"({other.verdict})") for other in decision.others]


def _row(cell: str, found: CellDecision | OtherQuantity, blocks: str, verdict: str) -> list[str]:
    bounds = _bounds(found) if found.low is not None else MISSING
    return [cell, NAMES[found.quantity], change(found.change), bounds, blocks, verdict]


def _bounds(found: CellDecision | OtherQuantity) -> str:
    return f"{change(found.low)} … {change(found.high)}"


def _remarks(comparison: Comparison) -> list[str]:
    remarks = []
    if comparison.geometric_mean is not None and sum(d.change is not None for d in comparison.cells) > 1:
        remarks.append(f"Geometric mean of all cells: {change(comparison.geometric_mean)}.")
    known = [decision.detectable for decision in comparison.cells if decision.detectable is not None]
    if known:
        remarks.append(
            f"Limit: {100 * comparison.limit:g} % slower. These blocks detect a change of {100 * max(known):.1f} % "
            "beyond it 95 times out of 100; the probability of a false alarm is at most "
            f"{100 * sum(comparison.errors):.2g} %."
        )
    remarks += _on_quantity(comparison)
    remarks += [f"{d.cell}: {describe(d)}." for d in comparison.cells if d.reason or d.more_blocks is not None]
    return [*remarks, *(f"Note: {note}." for note in comparison.notes)]


def _on_quantity(comparison: Comparison) -> list[str]:
    """Return what decided, what it cannot show, and cells whose wall time says something else."""
    choice = comparison.decided_by
    remarks = [f"{planned(choice)}."]
    if any(decision.others for decision in comparison.cells):
        remarks.append("Verdicts in parentheses are those by quantities that do not decide.")
    if choice.quantity in INVISIBLE:
        text = INVISIBLE[choice.quantity]
        remarks.append(f"{text[0].upper()}{text[1:]}; the rows of wall time show them if they are large.")
    for decision in comparison.cells:
        wall = next((other.verdict for other in decision.others if other.quantity == "wall"), None)
        if wall == Verdict.REGRESSED and decision.verdict != Verdict.REGRESSED:
            remarks.append(
                f"{decision.cell}: wall time has grown beyond the limit; {NAMES[choice.quantity]} was not shown "
                "to: look for waiting, or decide by wall time on a quiet machine."
            )
    return remarks


def _because(comparison: Comparison) -> str:
    return f" ({comparison.reason})" if comparison.reason else ""
