"""The rows of a verdict in Markdown: the first ones inline, the rest folded."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from genbench.report.markup import markdown

MOST_ROWS = 20  # inline in a comment


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
