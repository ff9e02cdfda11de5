"""How well training scales with processes: images/s of N processes divided by N × images/s of one.

The cell with one process is the one of the same run that otherwise has the same settings. The batch is shared by all
processes, so the work per step is the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from genbench.gate.speed_interval import uncertainty
from genbench.report import numbers
from genbench.report.table.layout import Footnotes, Row, Value
from genbench.report.table.outcome import CellOutcome
from genbench.results.schema import CellResult

SCALING = "scaling efficiency"
_ON_A_CPU = (
    f"{SCALING}: images/s divided by N × images/s of one process; on a CPU, the one process uses the processors of all "
    "N, so 1/N means equally fast"
)


def several_processes(cells: Sequence[CellOutcome]) -> bool:
    """Say whether some cell is trained by more than one process."""
    return any(_processes(cell) > 1 for cell in cells)


def add_scaling(rows: Sequence[Row], notes: Footnotes) -> list[Row]:
    """Add the efficiency to each cell of several processes whose run contains the cell with one process."""
    if not several_processes([cell for row in rows for cell in row.cells]):
        return list(rows)
    alone = {_key(cell): cell.result for row in rows for cell in row.cells if _processes(cell) == 1}
    return [row.updated(_efficiency(cell, alone.get(_key(cell)), notes)) for row in rows for cell in row.cells]


def _processes(cell: CellOutcome) -> int:
    recipe = cell.planned.identity.recipe
    return math.prod(int(str(recipe.get(name, 1))) for name in ("nproc", "nnodes"))


def _efficiency(cell: CellOutcome, alone: CellResult | None, notes: Footnotes) -> dict[str, Value]:
    processes = _processes(cell)
    fast, slow = _speed(cell.result), _speed(alone)
    if processes == 1 or not fast or not slow:
        return {}
    efficiency = fast / (processes * slow)
    marks = (notes.mark(_ON_A_CPU),) if cell.planned.identity.device == "cpu" else ()
    return {SCALING: Value(numbers.significant(efficiency, 2), efficiency, marks=marks)}


def _speed(result: CellResult | None) -> float:
    if result is None or result.throughput is None or result.proof is None or not result.proof.trained:
        return 0.0
    return 0.0 if uncertainty(result.throughput) else result.throughput.images_per_second


def _key(cell: CellOutcome) -> tuple[str, bytes]:
    identity = cell.planned.identity
    alone = msgspec.structs.replace(identity, recipe={**identity.recipe, "nproc": 1, "nnodes": 1})
    return cell.run, msgspec.json.encode(alone, order="deterministic")
