"""How well more processes make a training faster: images/s by N of them over N × images/s by one.

The cell with one process is the one of the same run that differs in nothing else; the batch is that of all processes
together, so the work of a step is the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from genbench.api.recipe import resolve_recipe
from genbench.report import numbers
from genbench.report.table.layout import Footnotes, Value
from genbench.report.table.values import PlannedRow
from genbench.results.schema import CellResult

SCALING = "scaling efficiency"
_SHARED = (
    f"{SCALING}: images/s over N × images/s of one process, which on a CPU has the processors of all N: 1/N is as fast"
)


def several_processes(cells: Sequence[PlannedRow]) -> bool:
    """Say whether some cell is trained by more than one process."""
    return any(resolve_recipe(cell.planned.identity.recipe).processes > 1 for cell in cells)


def scaling_values(cells: Sequence[PlannedRow], notes: Footnotes) -> list[dict[str, Value]]:
    """Return, for each cell, its efficiency where it has several processes and the run holds that with one."""
    alone = {_key(cell): cell.result for cell in cells if resolve_recipe(cell.planned.identity.recipe).processes == 1}
    return [_value(cell, alone.get(_key(cell)), notes) for cell in cells]


def _value(cell: PlannedRow, alone: CellResult | None, notes: Footnotes) -> dict[str, Value]:
    processes = resolve_recipe(cell.planned.identity.recipe).processes
    fast, slow = _speed(cell.result), _speed(alone)
    if processes == 1 or not fast or not slow:
        return {}
    efficiency = fast / (processes * slow)
    marks = (notes.mark(_SHARED),) if cell.planned.identity.device == "cpu" else ()
    return {SCALING: Value(numbers.significant(efficiency, 2), efficiency, marks=marks)}


def _speed(result: CellResult | None) -> float:
    if result is None or result.throughput is None or result.proof is None or not result.proof.trained:
        return 0.0
    return result.throughput.images_per_second


def _key(cell: PlannedRow) -> tuple[str, bytes]:
    identity = cell.planned.identity
    alone = msgspec.structs.replace(identity, recipe={**identity.recipe, "nproc": 1, "nnodes": 1})
    return cell.run, msgspec.json.encode(alone, order="deterministic")
