"""What became of each planned cell, with the settings under which its row was made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from genbench.api.evaluation import Estimate
from genbench.api.options import OptionValue
from genbench.report.table.settings import row_settings
from genbench.results.failure_codes import code_of_cell
from genbench.results.schema import Best, CellResult, PlannedCell
from genbench.results.store import RunContents

COUNTING = ("ok", "collapsed")  # statuses of cells whose measurements count in means over seeds, and are ranked
UNSTORED = ("damaged", "not run")  # what a cell without a result is shown as
_NO_BEST = Best(metric="", step=0, images=0)


@dataclass(frozen=True, eq=False)
class CellOutcome:
    """A planned cell and its result."""

    run: str  # name of the run
    planned: PlannedCell
    result: CellResult | None  # None: not run, or damaged
    damage: str  # why its file could not be read, or empty
    settings: dict[str, OptionValue]

    @cached_property
    def estimates(self) -> dict[str, Estimate]:
        """One estimate of every metric that the cell measured, at its end or during training."""
        found: dict[str, Estimate] = {}
        if self.result is not None:
            during_training = (one for point in self.result.evaluations for one in point.estimates)
            for estimate in (*self.result.estimates, *(self.result.best or _NO_BEST).estimates, *during_training):
                found.setdefault(estimate.metric, estimate)
        return found

    @property
    def status(self) -> str:
        """A stored status, or one of `UNSTORED`."""
        return status_and_reason(self.planned, self.result, self.damage)[0]

    @property
    def reason(self) -> str:
        """Why the status is not 'ok', or empty."""
        return status_and_reason(self.planned, self.result, self.damage)[1]

    @property
    def code(self) -> str:
        """The code that explains the status, or empty."""
        return code_of_cell(self.result, bool(self.damage))


def status_and_reason(planned: PlannedCell, result: CellResult | None, damage: str) -> tuple[str, str]:
    """Return the status and reason of a planned cell; in addition to the stored ones: `UNSTORED`."""
    if result is not None:
        return result.status, result.reason
    return ("damaged", damage) if damage else ("not run", planned.reason)


def outcomes_of(runs: Iterable[RunContents]) -> list[CellOutcome]:
    """Return the outcome of every planned cell of these runs, in the order of the plans."""
    return [
        CellOutcome(
            run.name,
            planned,
            result := run.cells.results.get(planned.id),
            run.cells.damaged.get(planned.id, ""),
            row_settings(run.name, run.record, planned, result),
        )
        for run in runs
        for planned in run.record.cells
    ]
