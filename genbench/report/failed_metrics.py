"""Metrics that were measured and failed: their code raised an exception, or broke the contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from genbench.results.cell_names import shown_names
from genbench.results.schema import CellResult, PlannedCell


def failed_metrics(cells: Iterable[PlannedCell], results: Mapping[str, CellResult]) -> list[str]:
    """Return a line for each metric and reason, with the cells; a metric that is merely unavailable has not failed."""
    planned = list(cells)
    names = shown_names(planned)
    found: dict[tuple[str, str], list[str]] = {}
    for cell in planned:
        result = results.get(cell.id)
        for missing in result.unavailable if result else []:
            if missing.failed:
                found.setdefault((missing.metric, missing.reason), []).append(names[cell.id])
    return [f"the metric '{metric}' failed for {_first(where)}: {reason}" for (metric, reason), where in found.items()]


def _first(cells: Sequence[str]) -> str:
    return cells[0] if len(cells) == 1 else f"{cells[0]} and {len(cells) - 1} more"
