"""`genbench.json_schema`: the format of a run directory."""

from __future__ import annotations

from typing import Any

import msgspec

from genbench.errors import UsageError, near_miss
from genbench.results.schema import RECORDS as OF_RUNS
from genbench.results.tuning import TuningRecord

RECORDS = {**OF_RUNS, "tuning": TuningRecord}


def json_schema(record: str | None = None) -> dict[str, Any]:
    """Return the JSON Schema of one kind of result file, or of all by name, as `genbench schema`.

    Raises `UsageError` with the nearest name for an unknown record.

    Args:
        record: ``cell``, ``reference``, ``run``, ``race`` or ``tuning``.
    """
    if record is not None and record not in RECORDS:
        raise UsageError(
            f"Unknown record '{record}'.{near_miss(record, RECORDS)}", f"Records: {', '.join(RECORDS)}.", code="GB101"
        )
    schemas = {name: msgspec.json.schema(kind) for name, kind in RECORDS.items()}
    return schemas if record is None else schemas[record]
