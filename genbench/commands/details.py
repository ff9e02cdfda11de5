"""`Results.details`: the plan of a run, the status of its cells and their files, or one cell in detail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from genbench.commands.printed import Printable
from genbench.errors import NoDataError
from genbench.report.run_details import SUMMARISED, cell_text, describe_cell, describe_run, run_text, summary_of_run
from genbench.results.store import RunContents, RunDirectory


@dataclass(frozen=True, repr=False)
class RunDetails(Printable):
    """What `genbench show` shows of a run or a cell."""

    described: dict[str, Any]  # the JSON of the command
    shown: str

    def text(self) -> str:
        """Return what the command prints."""
        return self.shown

    def as_data(self) -> dict[str, Any]:
        """Return plain data."""
        return self.described


def run_details(
    directory: RunDirectory, contents: RunContents, cell: str | None, cells: bool | None = None
) -> RunDetails:
    """Describe a run, or one of its cells, see `Results.details`."""
    if not contents.record.cells:
        run = directory.shown(directory.path)
        raise NoDataError(f"{run} has no cells.", "Start a run with `genbench run --models …`.")
    if cell is None:
        listed = len(contents.record.cells) <= SUMMARISED if cells is None else cells
        described = describe_run(directory, contents) if listed else summary_of_run(directory, contents)
        return RunDetails(described, run_text(described))
    planned = directory.find_cell(cell)
    described = describe_cell(directory, contents, planned)
    return RunDetails(described, cell_text(described, planned, contents.cells.results.get(planned.id)))
