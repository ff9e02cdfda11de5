"""Curves of many cells on common axes: only what may be compared shares a panel, and seeds are pooled."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from genbench.api.evaluation import Direction
from genbench.errors import UsageError, near_miss
from genbench.report.charts.curves import LOSSES, METRICS, Curve, curves_of, kind_of, mean_curve
from genbench.report.table.comparability import comparable_groups, dataset_key, differences
from genbench.report.table.layout import Table
from genbench.report.table.outcome import CellOutcome

_DEPENDS_ON_LOSS = (LOSSES, "logits of the discriminator", "energies of the discriminator, and their equilibrium")
_USUAL = 4  # panels, if no quantity is named


@dataclass(frozen=True)
class CurveLine:
    """One row of the table: the mean over its seeds, or each seed alone if they share no points."""

    row: int
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class CurvePanel:
    """One quantity of cells in which it may be compared."""

    quantity: str
    kind: str
    direction: Direction | None
    condition: str  # in what these cells differ from those of other panels of this quantity, or empty
    lines: tuple[CurveLine, ...]


def curve_quantities(table: Table) -> list[str]:
    """Return what was recorded during training: metrics first, then the terms of the windows."""
    found: dict[str, str] = {}
    for row in table.rows:
        for result in row.results if row.kind == "cell" else ():
            found |= {curve.quantity: curve.kind for curve in curves_of(result)}
    places = {column.key: place for place, column in enumerate(table.columns)}
    metrics = sorted((name for name in found if found[name] == METRICS), key=lambda name: places.get(name, len(places)))
    return [*metrics, *(name for name in found if found[name] != METRICS)]


def curve_panels(table: Table, quantities: Sequence[str] = ()) -> list[CurvePanel]:
    """Return a panel for each quantity and each group of comparable cells; without names, those of the usual ones.

    Raises `UsageError` with the nearest name for a quantity that was not recorded.
    """
    known = curve_quantities(table)
    for name in quantities:
        if name not in known:
            raise UsageError(
                f"'{name}' was not recorded during training.{near_miss(name, known)}",
                f"Recorded: {', '.join(known) or 'nothing'}.",
                code="GB602",
            )
    curves = {
        cell: {curve.quantity: curve for curve in curves_of(cell.result)}
        for row in table.rows
        if row.kind == "cell"
        for cell in row.cells
        if cell.result is not None
    }
    return [panel for name in quantities or _usual(known, curves) for panel in _panels(table, name, curves)]


def _usual(known: Sequence[str], curves: dict[CellOutcome, dict[str, Curve]]) -> list[str]:
    """Return the metrics that were measured during training, most frequent first; without any, the loss terms."""
    kinds = {name: curve.kind for own in curves.values() for name, curve in own.items()}
    kind = next((kind for kind in (METRICS, LOSSES) if kind in kinds.values()), None)
    usual = [name for name in known if kind is None or kinds[name] == kind]
    return sorted(usual, key=lambda name: -sum(name in own for own in curves.values()))[:_USUAL]


def _panels(table: Table, quantity: str, curves: dict[CellOutcome, dict[str, Curve]]) -> list[CurvePanel]:
    cells = [cell for cell, own in curves.items() if quantity in own]
    kind = curves[cells[0]][quantity].kind if cells else kind_of(quantity)
    if kind == METRICS:
        groups = comparable_groups(cells, quantity)
        conditions = differences(groups, quantity)
    else:
        groups, conditions = _same_term(cells, kind)
    panels = []
    for group, condition in zip(groups, conditions, strict=True):
        members = set(group)
        lines = []
        for number, row in enumerate(table.rows):
            own = [curves[cell][quantity] for cell in row.cells if cell in members and cell in curves]
            if own:
                mean = mean_curve(own)
                lines.append(CurveLine(number, (mean,) if mean is not None else tuple(own)))
        panels.append(CurvePanel(quantity, kind, _direction(group, quantity), condition, tuple(lines)))
    return panels


def _same_term(cells: Iterable[CellOutcome], kind: str) -> tuple[list[list[CellOutcome]], list[str]]:
    """Return cells with the same data, and for what depends on it the same loss, and how to tell these groups apart."""
    groups: dict[tuple[object, ...], list[CellOutcome]] = {}
    for cell in cells:
        identity = cell.planned.identity
        loss = msgspec.json.encode(identity.loss.options, order="deterministic"), identity.loss.name
        key = (dataset_key(identity), loss if kind in _DEPENDS_ON_LOSS else None)
        groups.setdefault(key, []).append(cell)
    facts = [
        {"loss": cell.planned.identity.loss.name, "dataset": cell.planned.identity.dataset.name}
        | {name: str(value) for name, value in cell.planned.identity.loss.options.items()}
        for cell, *_ in groups.values()
    ]
    names = [name for name in dict.fromkeys(n for own in facts for n in own) if len({o.get(name) for o in facts}) > 1]
    said = [", ".join(f"{name} {own[name]}" for name in names if name in own) for own in facts]
    return list(groups.values()), said


def _direction(cells: Iterable[CellOutcome], quantity: str) -> Direction | None:
    for cell in cells:
        if (estimate := cell.estimates.get(quantity)) is not None:
            return estimate.direction
    return None
