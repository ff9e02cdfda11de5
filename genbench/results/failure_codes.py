"""The code that explains the status of a cell, see `genbench explain`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import MappingProxyType

from genbench.results.schema import CellResult, Status

CODES: MappingProxyType[Status, str] = MappingProxyType(
    {
        "failed": "GB501",
        "oom": "GB502",
        "timeout": "GB503",
        "diverged": "GB504",
        "collapsed": "GB505",
        "skipped": "GB506",
    }
)
WORKER_LOST = "GB507"
GPU_FAILED = "GB404"
CONNECTION_LOST = "GB406"
METRIC_FAILED = "GB601"
DAMAGED = "GB703"
_FORM = re.compile(r"GB\d{3}")


def code_of(result: CellResult) -> str:
    """Return the code of a cell: the stored one, or, also for results without one, that of its status; 'ok' has none.

    A stored code concerns the status `failed`; a cell that ended otherwise is explained by its status. A stored code of
    another form is ignored: it would stand in a command that readers copy.
    """
    stored = result.code if result.status == "failed" and _FORM.fullmatch(result.code) else ""
    return stored or CODES.get(result.status, "")


def code_of_cell(result: CellResult | None, damaged: bool) -> str:
    """Return the code of a cell that may have no result, because it was not run or its file is damaged."""
    return code_of(result) if result is not None else DAMAGED if damaged else ""


def codes_of(results: Iterable[CellResult]) -> tuple[str, ...]:
    """Return the codes of cells that failed, each once; a skipped cell has not failed."""
    return tuple(sorted({code_of(result) for result in results if result.status not in ("ok", "skipped")}))
