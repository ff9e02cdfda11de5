"""Adding values that were measured after a run to its results: nothing is replaced unless the user asks for it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from genbench.api.evaluation import Estimate, Unavailable
from genbench.results.schema import CellResult, LaterMeasurement, ReferenceResult, ReferenceRow


def add_values(
    result: CellResult,
    estimates: Sequence[Estimate],
    unavailable: Sequence[Unavailable],
    later: LaterMeasurement,
    again: bool,
) -> CellResult:
    """Return the result with these values, and with the record of when and how they were measured.

    With `again`, a new value replaces the one of the same name; a value is never replaced by the reason for none.
    """
    kept, missing = _merged(result.estimates, result.unavailable, estimates, unavailable, again)
    measured_later = [*result.measured_later, later]
    return msgspec.structs.replace(result, estimates=kept, unavailable=missing, measured_later=measured_later)


def add_reference_values(
    result: ReferenceResult, found: ReferenceResult, later: LaterMeasurement, again: bool
) -> ReferenceResult:
    """Return the reference rows with the values of those found, as `add_values` does for a cell."""
    new = {row.name: row for row in found.rows}
    merged = []
    for row in result.rows:
        other = new.pop(row.name, ReferenceRow(name=row.name))
        kept, missing = _merged(row.estimates, row.unavailable, other.estimates, other.unavailable, again)
        merged.append(ReferenceRow(name=row.name, estimates=kept, unavailable=missing))
    known = {one.extractor for one in result.extractors}
    return msgspec.structs.replace(
        result,
        rows=[*merged, *new.values()],
        extractors=[*result.extractors, *(one for one in found.extractors if one.extractor not in known)],
        measured_later=[*result.measured_later, later],
    )


def _merged(
    old: Sequence[Estimate],
    old_missing: Sequence[Unavailable],
    new: Sequence[Estimate],
    new_missing: Sequence[Unavailable],
    again: bool,
) -> tuple[list[Estimate], list[Unavailable]]:
    found = {estimate.metric: estimate for estimate in new}
    kept = [found.pop(one.metric, one) if again else one for one in old]
    known = {one.metric for one in kept}
    kept += [one for name, one in found.items() if name not in known]
    reasons = {one.metric: one for one in (*old_missing, *new_missing)}
    named = {one.metric for one in kept}
    return kept, [reason for name, reason in reasons.items() if name not in named]
