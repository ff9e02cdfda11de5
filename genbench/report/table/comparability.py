"""Which numbers of one column must not be compared, and why. They stay visible; the table marks them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from genbench.api.evaluation import Estimate
from genbench.report.numbers import count
from genbench.report.table import targets
from genbench.report.table.layout import DAGGER, Footnotes, Row
from genbench.results.schema import CellIdentity, CellResult, Comparability, ReferenceResult, Target

Data: TypeAlias = tuple[str, str, tuple[int, int, int]]

# Fields that change speed and memory. Precision and engine are chosen on purpose and stand in the caption or a column.
_SPEED_FIELDS = (
    "machine", "cores", "threads", "openmp", "allocator", "denormals", "accelerator", "driver", "torch", "python",
    "disturbed",
)  # fmt: skip
_SPEED_COLUMNS = (
    "images/s", "scaling efficiency", "samples/s", "energy/image", "peak memory", "peak GPU memory",
    "time", "training time", "evaluation time", "MFU",
)  # fmt: skip
_MAX_NAMED = 3


@dataclass(frozen=True)
class Conflict:
    """Rows whose numbers in one column do not compare."""

    rows: frozenset[int]
    text: str


def speed_conflicts(rows: Mapping[int, tuple[str, Comparability]]) -> list[Conflict]:
    """Compare the machines behind rows of the same device; `rows` maps row number to device and comparability."""
    conflicts = []
    for device in dict.fromkeys(device for device, _ in rows.values()):
        facts = {
            number: {name: str(getattr(measured, name)) or "none" for name in _SPEED_FIELDS}
            for number, (where, measured) in rows.items()
            if where == device
        }
        differing = _differing(facts)
        if differing:
            conflicts.append(Conflict(frozenset(facts), f"speed, memory and time on {device}: {_describe(differing)}"))
    return conflicts


def metric_conflicts(metric: str, rows: Mapping[int, tuple[Hashable, str, Estimate]]) -> list[Conflict]:
    """Compare the protocols of one metric's values; `rows` maps row number to dataset, data hash and estimate.

    Values on different datasets are never compared, so they cannot conflict.
    """
    conflicts = []
    for dataset in dict.fromkeys(dataset for dataset, _, _ in rows.values()):
        facts = {
            number: _protocol(estimate) | ({"data hash": data_hash[:12]} if data_hash else {})
            for number, (where, data_hash, estimate) in rows.items()
            if where == dataset
        }
        differing = _differing(facts)
        if differing:
            conflicts.append(Conflict(frozenset(facts), f"{metric}: {_describe(differing)}"))
    return conflicts


def data_of(made_of: CellIdentity | ReferenceResult) -> Data:
    """Return what tells one dataset from another: metrics of different ones are never compared."""
    return made_of.dataset.name, repr(sorted(made_of.dataset.options.items())), made_of.image_shape


def measured_protocols(result: CellResult) -> dict[str, Estimate]:
    """Return one estimate of every metric that a cell has measured, at its end or on the way."""
    on_the_way = [
        *(result.best.estimates if result.best else ()),
        *(e for p in result.evaluations for e in p.estimates),
    ]
    found: dict[str, Estimate] = {}
    for estimate in (*result.estimates, *on_the_way):
        found.setdefault(estimate.metric, estimate)
    return found


def agree(one: Estimate, other: Estimate) -> bool:
    """Say whether two estimates of a metric were made under the same protocol, from as many images."""
    return _protocol(one) == _protocol(other)


def mark_conflicts(
    results: Mapping[int, CellResult], rows: Sequence[Row], wanted: Sequence[Target], notes: Footnotes
) -> list[Row]:
    """Mark the numbers that do not compare with others in their column, and say why in the footnotes.

    Args:
        results: what came of the cells, by the number of the row.
        rows: one for each planned cell.
        wanted: targets that have columns.
        notes: takes the reasons.
    """
    machines = {
        number: (result.identity.device, result.comparability)
        for number, result in results.items()
        if result.comparability is not None
    }
    seconds = [targets.seconds_to(target) for target in wanted]
    found: list[tuple[Sequence[str], Conflict]] = [
        ((*_SPEED_COLUMNS, *seconds), conflict) for conflict in speed_conflicts(machines)
    ]
    measured: dict[str, dict[int, tuple[Hashable, str, Estimate]]] = {}
    for number, result in results.items():
        data_hash = result.comparability.data_hash if result.comparability else ""
        for metric, estimate in measured_protocols(result).items():
            measured.setdefault(metric, {})[number] = data_of(result.identity), data_hash, estimate
    for metric, estimates in measured.items():
        resting = (metric, f"best {metric}", f"images at best {metric}", *targets.columns_of(metric, wanted))
        found += [(resting, conflict) for conflict in metric_conflicts(metric, estimates)]
    marked = list(rows)
    for keys, conflict in found:
        notes.dagger(f"not comparable: {conflict.text}")
        for number in conflict.rows:
            marked[number] = _mark(marked[number], keys)
    return marked


def _mark(row: Row, keys: Iterable[str]) -> Row:
    changed = {
        key: replace(value, marks=(*value.marks, DAGGER))
        for key, value in row.values.items()
        if key in keys and value.raw is not None and DAGGER not in value.marks
    }
    return replace(row, values=row.values | changed)


def reference_differences(reference: Estimate, measured: Sequence[Estimate]) -> str:
    """Say in which fields a reference row's protocol departs from every cell's; empty where it agrees with one."""
    own = _protocol(reference)
    found = ""
    for estimate in measured:
        differing = _differing({0: own, 1: _protocol(estimate)})
        if not differing:
            return ""
        found = found or "; ".join(f"{name} is {values[0]}, not {values[1]}" for name, values in differing.items())
    return found


def _protocol(estimate: Estimate) -> dict[str, str]:
    return {name: str(value) for name, value in estimate.protocol.items()} | {"images": count(estimate.n)}


def _differing(facts: Mapping[int, Mapping[str, str]]) -> dict[str, list[str]]:
    names = dict.fromkeys(name for fact in facts.values() for name in fact)
    values = {name: list(dict.fromkeys(fact.get(name, "not stated") for fact in facts.values())) for name in names}
    return {name: found for name, found in values.items() if len(found) > 1}


def _describe(differing: Mapping[str, Sequence[str]]) -> str:
    parts = []
    for name, values in differing.items():
        named = ", ".join(values[:_MAX_NAMED]) + (" …" if len(values) > _MAX_NAMED else "")
        parts.append(f"{name} differs ({named})")
    return "; ".join(parts)
