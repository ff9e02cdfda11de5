"""A verdict in Markdown: heading, rows (the first ones inline, the rest folded) and remarks."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from genbench.gate.verdict import Verdict
from genbench.report.markup import markdown

WORST_FIRST = (
    Verdict.REGRESSED, Verdict.NO_DATA, Verdict.NOT_COMPARABLE, Verdict.INCONCLUSIVE, Verdict.IMPROVED, Verdict.OK,
)  # fmt: skip
_SIGNS = {Verdict.OK: "✅", Verdict.IMPROVED: "✅", Verdict.REGRESSED: "❌", Verdict.INCONCLUSIVE: "❔"}
MOST_ROWS = 20  # inline in a comment


def heading(verdict: Verdict, because: str, base: str, head: str) -> list[str]:
    """Return the lines above the table; `because` follows the verdict."""
    title = f"### {_SIGNS.get(verdict, '⚠️')} genbench: {verdict}{markdown(because)}"
    return [title, "", f"{markdown(base)} → {markdown(head)}", ""]


def paragraph(lines: Sequence[str]) -> list[str]:
    """Return one paragraph that keeps its line breaks."""
    return [markdown(line) + "  " for line in lines]


def folded(rows: Sequence[Sequence[str]], headings: Sequence[str], alignment: Sequence[str]) -> list[str]:
    """Return the lines of one table, or of two with the second one folded; this function escapes the cells."""

    def table(part: Sequence[Sequence[str]]) -> str:
        escaped = [[markdown(cell) for cell in row] for row in part]
        return tabulate(escaped, headings, tablefmt="github", disable_numparse=True, colalign=alignment)

    lines = [table(rows[:MOST_ROWS]), ""] if rows else []
    if len(rows) > MOST_ROWS:
        more = f"{len(rows) - MOST_ROWS} more rows"
        lines += [f"<details><summary>{more}</summary>", "", table(rows[MOST_ROWS:]), "", "</details>", ""]
    return lines
