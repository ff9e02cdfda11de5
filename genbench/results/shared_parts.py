"""Equal parts of the cells of a plan, such as recipes that differ in the seed only, as one object in memory."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, TypeVar

import msgspec

from genbench.results.schema import CellIdentity, PlannedCell

Part = TypeVar("Part")


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
        return msgspec.structs.replace(
            identity,
            model=self._shared(identity.model),
            family=self._shared(identity.family),
            loss=self._shared(identity.loss),
            dataset=self._shared(identity.dataset),
            recipe=self._shared(identity.recipe),
            metrics=self._shared(identity.metrics),
            metric_origins=self._shared(identity.metric_origins),
            metric_options=self._shared(identity.metric_options),
        )

    def _shared(self, part: Part) -> Part:
        if not part:
            return part
        found: Part = self._first.setdefault((type(part), msgspec.json.encode(part)), part)
        return found
