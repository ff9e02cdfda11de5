"""A comparison table as a Python object: plain records, and text in every format of `genbench table`."""

from __future__ import annotations

from dataclasses import dataclass

from genbench.report.table.layout import BEST, Table
from genbench.report.table.render import PAGE_WIDTH, READABLE_ROWS, arrange, records, render


@dataclass(frozen=True, eq=False)
class ComparisonTable:
    """The table of some cells; printed, it is what `genbench table` prints."""

    table: Table
    sort: str | None = None
    columns: tuple[str, ...] | None = None

    def __str__(self) -> str:
        return self.text(width=PAGE_WIDTH, rows=READABLE_ROWS)

    def __repr__(self) -> str:
        return str(self)

    @property
    def caption(self) -> str:
        """What all rows share."""
        return self.table.caption

    @property
    def footnotes(self) -> dict[str, str]:
        """The text of each mark; † marks numbers that are not comparable, * the best of a column, letters groups."""
        shown, _ = arrange(self.table, self.sort, self.columns)
        legend = [(BEST, shown.best)] if shown.best else []
        legend += [("letters", shown.letters)] if shown.letters else []
        return dict([*shown.footnotes, *legend])

    @property
    def records(self) -> list[dict[str, str | int | float | None]]:
        """The rows as plain values, with the keys and numbers of ``csv``: ``kind`` is ``cell`` or ``reference``."""
        return records(self.table, self.sort, self.columns)

    def text(self, format: str = "plain", width: int | None = None, rows: int | None = None) -> str:
        """Return the table as text that ends with a line feed; raise `UsageError` for an unknown format.

        Args:
            format: ``plain``, ``github``, ``latex``, ``html``, ``csv`` or ``json``.
            width: characters of a line of ``plain``, without which details are left out and what is still too wide
                continues below; by default, every column is in one line.
            rows: at most so many rows of cells, the first ones or, without an order, those with the best values of the
                first metric; the caption says so. By default, all.
        """
        return render(self.table, format, self.sort, self.columns, width, rows)

    def _repr_html_(self) -> str:
        return self.text("html", rows=READABLE_ROWS)

    def _repr_markdown_(self) -> str:
        return self.text("github", rows=READABLE_ROWS)
