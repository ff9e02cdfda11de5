"""Which numbers in a column are not comparable, and why. They stay visible; the table marks them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from genbench.api.evaluation import Estimate
from genbench.gate.conditions import UNKNOWN, is_known, machine_facts
from genbench.report.numbers import count
from genbench.report.table import targets
from genbench.report.table.layout import DAGGER, Footnotes, Row
from genbench.report.table.outcome import CellOutcome
from genbench.report.table.values import sampler_speed
from genbench.results.schema import MACHINE_FIELDS, CellIdentity, CellResult, Comparability, ReferenceResult, Target

DatasetKey: TypeAlias = tuple[str, str, tuple[int, int, int]]
Facts: TypeAlias = Mapping[str, str]

SPEED_COLUMNS = (
    "images/s", "scaling efficiency", "samples/s", "energy/image", "peak memory", "peak GPU memory",
    "time", "training time", "evaluation time", "MFU",
)  # fmt: skip
_HARDWARE = ("machine", "cores", "accelerator")  # what tells the machines of a run apart
_MAX_NAMED = 3


@dataclass(frozen=True)
class Conflict:
    """Cells whose numbers in some columns are not comparable."""

    cells: frozenset[CellOutcome]
    columns: frozenset[str]
    reason: str


def mark_conflicts(rows: Sequence[Row], wanted: Sequence[Target], notes: Footnotes) -> list[Row]:
    """Mark numbers that are not comparable with others in their column, and state the reasons in the footnotes.

    Args:
        rows: one for each planned cell.
        wanted: targets that have columns.
        notes: takes the reasons.
    """
    executed = [(cell, cell.result) for row in rows for cell in row.cells if cell.result is not None]
    conflicts = [*_speed_conflicts(executed, wanted), *_metric_conflicts(executed, wanted)]
    for conflict in conflicts:
        notes.dagger(f"not comparable: {conflict.reason}")
    return [_marked(row, conflicts) for row in rows]


def by_machine(cells: Sequence[CellOutcome]) -> list[CellOutcome]:
    """Return cells grouped by the machine that executed them, each group where its first cell is.

    Those that were never executed come last where a run has several machines. Runs stay in their order.
    """
    groups: dict[str, dict[tuple[str, ...], list[CellOutcome]]] = {}
    for cell in cells:
        recorded = None if cell.result is None else cell.result.comparability
        machine = () if recorded is None else tuple(str(getattr(recorded, name)) for name in _HARDWARE)
        groups.setdefault(cell.run, {}).setdefault(machine, []).append(cell)
    if all(len(machines.keys() - {()}) < 2 for machines in groups.values()):
        return [*cells]
    ordered = [part for machines in groups.values() for part in sorted(machines.items(), key=lambda one: not one[0])]
    return [cell for _, part in ordered for cell in part]


def comparable_groups(cells: Iterable[CellOutcome], column: str) -> list[list[CellOutcome]]:
    """Return the executed cells in groups within which the numbers of a column are comparable.

    Speed, memory and time compare on the same machine with the same software; a metric compares on the same pixels and
    under the same protocol. A cell that has no such number is in no group.
    """
    groups: dict[tuple[object, ...], list[CellOutcome]] = {}
    for cell in cells:
        key = group_key(cell, column)
        if key is not None:
            groups.setdefault(key, []).append(cell)
    return list(groups.values())


def differences(groups: Sequence[Sequence[CellOutcome]], column: str) -> list[str]:
    """Return for each of the `comparable_groups` of a column in what it differs from the others; empty if it is one."""
    facts: list[dict[str, str]] = []
    for cell, *_ in groups:
        own: dict[str, str] = {}
        if cell.result is not None and _is_speed(column, cell.result):
            own = {"device": cell.result.identity.device} | _machine(cell.run, cell.result.comparability)
        elif cell.result is not None and (estimate := cell.estimates.get(column)) is not None:
            name, options, shape = dataset_key(cell.result.identity)
            about = {"dataset": name, "dataset options": options, "image shape": "×".join(map(str, shape))}
            own = about | _metric_facts(cell.result, estimate)
        facts.append(own)
    names = _differing(facts)
    return [", ".join(f"{name} {own.get(name, 'not stated')}" for name in names) for own in facts]


def group_key(cell: CellOutcome, column: str) -> tuple[object, ...] | None:
    """Return what is equal for cells whose numbers in a column are comparable; None if this cell has no such number."""
    result = cell.result
    if result is None:
        return None
    if _is_speed(column, result):
        if result.comparability is None and result.throughput is None:
            return None
        return result.identity.device, *sorted(_machine(cell.run, result.comparability).items())
    estimate = cell.estimates.get(column)
    if estimate is None:
        return None
    return dataset_key(result.identity), *sorted(_metric_facts(result, estimate).items())


def _is_speed(column: str, result: CellResult) -> bool:
    return column in SPEED_COLUMNS or column in map(sampler_speed, result.sampler_speeds)


def dataset_key(source: CellIdentity | ReferenceResult) -> DatasetKey:
    """Return what distinguishes datasets: metrics on different ones are never compared."""
    return source.dataset.name, repr(sorted(source.dataset.options.items())), source.image_shape


def same_protocol(one: Estimate, other: Estimate) -> bool:
    """Say whether two estimates of a metric were made under the same protocol, from the same number of images."""
    return _protocol(one) == _protocol(other)


def reference_differences(reference: Estimate, measured: Sequence[Estimate]) -> str:
    """Say in which fields a reference row's protocol differs from that of every cell; empty if it matches one."""
    own = _protocol(reference)
    found = ""
    for estimate in measured:
        differing = _differing([own, _protocol(estimate)])
        if not differing:
            return ""
        found = found or "; ".join(f"{name} is {values[0]}, not {values[1]}" for name, values in differing.items())
    return found


def _speed_conflicts(
    executed: Iterable[tuple[CellOutcome, CellResult]], wanted: Iterable[Target]
) -> Iterator[Conflict]:
    """Compare the machines behind rows of the same device."""
    executed = list(executed)
    samplers = {sampler_speed(label): None for _, result in executed for label in result.sampler_speeds}
    columns = [*SPEED_COLUMNS, *samplers, *(targets.seconds_to(target) for target in wanted)]
    by_device: dict[str, dict[CellOutcome, Facts]] = {}
    known: dict[tuple[str, int], Facts] = {}  # cells of a run share the objects that describe their machines
    for cell, result in executed:
        recorded = result.comparability
        if recorded is not None or result.throughput is not None:
            key = cell.run, id(recorded)
            if key not in known:
                known[key] = _machine(cell.run, recorded)
            by_device.setdefault(result.identity.device, {})[cell] = known[key]
    for device, own in by_device.items():
        yield from _conflicts(own, columns, f"speed, memory and time on {device}")


def _machine(run: str, recorded: Comparability | None) -> dict[str, str]:
    """Return the conditions of a cell's speed; a machine that is not known equals that of no other run."""
    if recorded is None:
        return {"machine": f"{UNKNOWN} in {run}"}
    facts = machine_facts({name: getattr(recorded, name) for name in MACHINE_FIELDS})
    known = is_known("machine", facts["machine"])
    return facts if known else {**facts, "machine": f"{UNKNOWN} in {run}"}


def _metric_conflicts(
    executed: Iterable[tuple[CellOutcome, CellResult]], wanted: Sequence[Target]
) -> Iterator[Conflict]:
    """Compare the protocols of each metric's values on the same dataset."""
    by_metric: dict[str, dict[DatasetKey, dict[CellOutcome, Facts]]] = {}
    known: dict[tuple[int, int, str], Facts] = {}  # cells of a run share the objects that hold their protocols
    for cell, result in executed:
        dataset, pixels = dataset_key(result.identity), _pixels(result)
        for metric, estimate in cell.estimates.items():
            key = id(estimate.protocol), estimate.n, pixels
            if key not in known:
                known[key] = _metric_facts(result, estimate)
            by_metric.setdefault(metric, {}).setdefault(dataset, {})[cell] = known[key]
    for metric, by_dataset in by_metric.items():
        columns = [metric, f"best {metric}", f"images at best {metric}", *targets.columns_of(metric, wanted)]
        for own in by_dataset.values():
            yield from _conflicts(own, columns, metric)


def _metric_facts(result: CellResult, estimate: Estimate) -> dict[str, str]:
    pixels = _pixels(result)
    return _protocol(estimate) | ({"data hash": pixels[:12]} if pixels else {})


def _pixels(result: CellResult) -> str:
    return result.comparability.data_hash if result.comparability else ""


def _conflicts(facts: Mapping[CellOutcome, Facts], columns: Iterable[str], about: str) -> Iterator[Conflict]:
    differing = _differing(facts.values())
    if differing:
        yield Conflict(frozenset(facts), frozenset(columns), f"{about}: {_describe(differing)}")


def _marked(row: Row, conflicts: Iterable[Conflict]) -> Row:
    columns = {
        column for conflict in conflicts if conflict.cells.intersection(row.cells) for column in conflict.columns
    }
    marked = {
        key: replace(value, marks=(*value.marks, DAGGER))
        for key, value in row.values.items()
        if key in columns and value.raw is not None
    }
    return row.updated(marked)


def _protocol(estimate: Estimate) -> dict[str, str]:
    return {name: str(value) for name, value in estimate.protocol.items()} | {"images": count(estimate.n)}


def _differing(facts: Iterable[Facts]) -> dict[str, list[str]]:
    facts = list({id(fact): fact for fact in facts}.values())  # most are the same object
    names = dict.fromkeys(name for fact in facts for name in fact)
    values = {name: list(dict.fromkeys(fact.get(name, "not stated") for fact in facts)) for name in names}
    return {name: found for name, found in values.items() if len(found) > 1}


def _describe(differing: Mapping[str, Sequence[str]]) -> str:
    parts = []
    for name, values in differing.items():
        named = ", ".join(values[:_MAX_NAMED]) + (" …" if len(values) > _MAX_NAMED else "")
        parts.append(f"{name} differs ({named})")
    return "; ".join(parts)
