"""Which numbers of one column must not be compared, and why. They stay visible; the table marks them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from genbench.exchange import Estimate
from genbench.report.numbers import count
from genbench.results.schema import Comparability

# Fields that change speed and memory. Precision and engine are chosen on purpose and stand in the caption or a column.
_SPEED_FIELDS = ("machine", "cores", "threads", "openmp", "accelerator", "driver", "torch", "python")
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
