"""Equal parts of the cells of a plan, such as recipes that differ in the seed only, as one object in memory."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import msgspec

from genbench.api.evaluation import Estimate
from genbench.results.schema import CellIdentity, CellResult, PlannedCell

Part = TypeVar("Part")
SHARED = (
    "model",
    "family",
    "loss",
    "dataset",
    "recipe",
    "metrics",
    "metric_origins",
    "metric_options",
)  # of identities


class SharedParts:
    """Replaces each part of a cell by the first one that has the same content. Nobody may change what is shared."""

    def __init__(self) -> None:
        self._first: dict[Hashable, Any] = {}

    def of_cell(self, cell: PlannedCell) -> PlannedCell:
        """Return an equal cell with shared parts."""
        identity = self.of_identity(cell.identity)
        return msgspec.structs.replace(
            cell, identity=identity, changed=self._shared(cell.changed), samplers=self._shared(cell.samplers)
        )

    def of_identity(self, identity: CellIdentity) -> CellIdentity:
        """Return an equal identity with shared parts."""
        return msgspec.structs.replace(identity, **{name: self._shared(getattr(identity, name)) for name in SHARED})

    def of_result(self, result: CellResult) -> CellResult:
        """Return an equal result with shared parts, apart from its identity."""
        return msgspec.structs.replace(
            result,
            comparability=self._shared(result.comparability),
            provenance=msgspec.structs.replace(
                result.provenance,
                versions=self._shared(result.provenance.versions),
                host=self._shared(result.provenance.host),
            ),
            parameters=self._shared(result.parameters),
            total_parameters=self._shared(result.total_parameters),
            proof=self._shared(result.proof),
            engine=self._shared(result.engine),
            sampling=self._shared(result.sampling),
            unavailable=self._shared(result.unavailable),
            estimates=self._estimates(result.estimates),
            evaluations=[
                msgspec.structs.replace(point, estimates=self._estimates(point.estimates))
                for point in result.evaluations
            ],
        )

    def _estimates(self, estimates: Sequence[Estimate]) -> list[Estimate]:
        return [
            Estimate(
                self._shared(one.metric), one.value, one.standard_error, one.n, self._shared(one.direction),
                self._shared(one.protocol), one.debiased, one.null, one.remark,
            )
            for one in estimates
        ]  # fmt: skip

    def _shared(self, part: Part) -> Part:
        if not part:
            return part
        key = part if isinstance(part, str) else (type(part), msgspec.json.encode(part))
        found: Part = self._first.setdefault(key, part)
        return found
