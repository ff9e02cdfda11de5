"""Which pictures of which cells stand side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from genbench.errors import UsageError, near_miss
from genbench.report.charts.row_names import row_names
from genbench.report.table.layout import Table
from genbench.report.table.outcome import CellOutcome

PICTURES = ("samples", "reconstructions", "closest pairs")


@dataclass(frozen=True)
class Picture:
    """One picture of one cell."""

    row: int
    name: str
    seed: int
    status: str
    path: Path | None  # None: there is none


def pictures(
    table: Table, files_of: Callable[[CellOutcome], Mapping[str, Path]], kind: str = "samples"
) -> list[Picture]:
    """Return a picture for each row: of a row over seeds, that of its first seed that has one.

    Rows of cells that do not make such pictures are left out if any other cell has one. Raises `UsageError` with the
    nearest name for an unknown kind.
    """
    if kind not in PICTURES:
        raise UsageError(
            f"There are no pictures '{kind}'.{near_miss(kind, PICTURES)}",
            f"Pictures: {', '.join(PICTURES)}.",
            code="GB101",
        )
    found = []
    for number, name in row_names(table).items():
        cells = table.rows[number].cells
        with_picture = [(cell, path) for cell in cells if (path := files_of(cell).get(kind)) is not None]
        cell, path = with_picture[0] if with_picture else (cells[0], None)
        found.append(Picture(number, name, cell.planned.identity.seed, cell.status, path))
    known = [picture for picture in found if picture.path is not None]
    return known if kind != "samples" and known else found
