"""Measurements from a run's contents."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec

from genbench.gate.conditions import conflict, machine_facts
from genbench.gate.measurements import CellMeasurements, Measurements, Quality
from genbench.gate.speed_interval import uncertainty
from genbench.results.cell_names import cell_name
from genbench.results.identity_settings import settings_by_kind
from genbench.results.schema import MACHINE_FIELDS, CellResult, Counters, MemoryFormatName, PlannedCell
from genbench.results.store import RunContents

_MEASURED = ("ok", "collapsed")  # statuses; a collapsed training was measured too, and its quality shows the collapse
_COUNTED = ("operations", "host_reads", "layout_copies", "peak_bytes", "kernel_launches")


def measurements_of_run(contents: RunContents) -> Measurements:
    """Return what a gate evaluates; cells that were planned but never ran are included, without values."""
    grouped: dict[str, list[tuple[PlannedCell, CellResult | None]]] = {}
    for planned in contents.record.cells:
        if not planned.reason:
            name = cell_name(planned, contents.record.swept)
            grouped.setdefault(name, []).append((planned, contents.cells.results.get(planned.id)))
    damaged = contents.cells.damaged
    entries = {name: _entry(members, damaged) for name, members in grouped.items()}
    left_out = {id: CellMeasurements(settings={}, machine={}, failures=[why]) for id, why in contents.left_out.items()}
    return Measurements(contents.name, {**left_out, **entries})


def _entry(members: Iterable[tuple[PlannedCell, CellResult | None]], damaged: Mapping[str, str]) -> CellMeasurements:
    members = list(members)
    results = [result for _, result in members if result is not None and result.status in _MEASURED]
    failures = [
        f"seed {planned.identity.seed}: {result.status if result else damaged.get(planned.id, 'never ran')}"
        for planned, result in members
        if result is None or result.status not in _MEASURED
    ]
    return CellMeasurements(
        settings=settings_by_kind(members[0][0].identity),
        machine=_machine(results),
        counters=_counters(results),
        speeds=[r.throughput.images_per_second for r in results if r.throughput is not None],
        qualities=_qualities(results),
        seeds=[planned.identity.seed for planned, _ in members],
        failures=failures,
        machine_conflict=_machine_conflict(results),
        uncertain=_uncertain(results),
    )


def _machine(results: Iterable[CellResult]) -> dict[str, str]:
    """Return the conditions of the cell; where seeds differ, all values of a field."""
    measured = [_facts(result) for result in results]
    return (
        {name: " / ".join(dict.fromkeys(facts[name] for facts in measured)) for name in MACHINE_FIELDS}
        if measured
        else {}
    )


def _machine_conflict(results: Iterable[CellResult]) -> str:
    seeds = [(f"seed {result.identity.seed}", _facts(result)) for result in results]
    # A GPU may be disturbed in some seeds only: `disturbed` then holds all of their values.
    return conflict((seed, {name: v for name, v in facts.items() if name != "disturbed"}) for seed, facts in seeds)


def _facts(result: CellResult) -> dict[str, str]:
    return machine_facts(msgspec.structs.asdict(result.comparability) if result.comparability is not None else {})


def _uncertain(results: Iterable[CellResult]) -> str:
    wide = [(r.identity.seed, uncertainty(r.throughput)) for r in results if r.throughput is not None]
    return ", ".join(f"{interval} for seed {seed}" for seed, interval in wide if interval)


def _counters(results: list[CellResult]) -> dict[str, float]:
    """Return the counters of the cell; where seeds differ, the largest, to which limits apply."""
    found: dict[str, float] = {}
    for result in results:
        counted: dict[str, float | None] = {
            "flops_per_image": result.flops_per_image,
            "flops_per_sample": result.flops_per_sample,
            "parameters": sum(result.total_parameters.values()) if result.total_parameters else None,
        }
        if result.counters is not None:
            counted |= {name: getattr(result.counters, name) for name in _COUNTED}
            chosen = result.engine.memory_format if result.engine is not None else None
            counted["strided_convolutions"] = strided_convolutions(
                result.counters, "channels_last" if chosen is None else chosen.used
            )
        for name, value in counted.items():
            if value is not None and math.isfinite(value):
                found[name] = max(found.get(name, -math.inf), float(value))
    return found


def strided_convolutions(counters: Counters, memory_format: MemoryFormatName) -> float:
    """Return the convolutions of a step with tensors in another memory format than that of the training."""
    in_channels_last = counters.channels_last
    return counters.convolutions - in_channels_last if memory_format == "channels_last" else in_channels_last


def _qualities(results: list[CellResult]) -> Mapping[str, Quality]:
    found: dict[str, Quality] = {}
    for metric in dict.fromkeys(estimate.metric for result in results for estimate in result.estimates):
        measured = [(result, e) for result in results for e in result.estimates if e.metric == metric]
        own = [estimate for _, estimate in measured]
        found[metric] = Quality(
            values=[estimate.value for estimate in own],
            errors=[estimate.standard_error for estimate in own],
            direction=own[0].direction,
            protocol={**own[0].protocol, "images": own[0].n},
            seeds=[result.identity.seed for result, _ in measured],
        )
    return found
