"""Measurements from baseline files and pytest-benchmark's JSON, and baselines from measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from genbench.errors import UsageError
from genbench.gate.limits import COUNTERS
from genbench.gate.measurements import CellMeasurements, Measurements, Quality
from genbench.results.baseline import Baseline, BaselineCell, BaselineQuality

EXTRA_INFO_KEY = "genbench"  # in a benchmark's `extra_info`: machine and settings, from the fixture `genbench_step`


def baseline_of(measurements: Measurements) -> Baseline:
    """Return the measurements as a baseline, without cells that have no values because they failed."""
    return Baseline(
        cells={name: _baseline_cell(entry) for name, entry in measurements.entries.items() if not entry.failures}
    )


def counters_of(measurements: Measurements) -> Measurements:
    """Return only what does not depend on the machine: the counters, and the version of torch that they depend on."""

    def counted(entry: CellMeasurements) -> CellMeasurements:
        software = {name: value for name, value in entry.machine.items() if name == "torch"}
        return replace(entry, machine=software, speeds=(), qualities={})

    return Measurements(measurements.name, {cell: counted(entry) for cell, entry in measurements.entries.items()})


def measurements_of_baseline(baseline: Baseline, name: str) -> Measurements:
    """Return the measurements stored in a baseline."""
    return Measurements(name, {cell: _cell_measurements(kept) for cell, kept in baseline.cells.items()})


def measurements_of_benchmarks(document: object, name: str) -> Measurements:
    """Return each benchmark's median time, and the counters in its `extra_info`, from pytest-benchmark's JSON.

    Raises `UsageError` for any other document.
    """
    benchmarks = document.get("benchmarks") if isinstance(document, Mapping) else None
    if not isinstance(document, Mapping) or not isinstance(benchmarks, list):
        raise UsageError(f"{name} is neither a genbench run nor pytest-benchmark's JSON.")
    machine = _machine(document.get("machine_info"))
    try:
        entries = {str(benchmark["fullname"]): _benchmark_measurements(benchmark, machine) for benchmark in benchmarks}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(f"{name} is damaged: a benchmark has no readable {error}.") from error
    return Measurements(name, entries)


def merged(files: Sequence[Measurements], name: str) -> Measurements:
    """Merge the files of one side: each is one process, whose times are one sample.

    Raises `UsageError` if files were measured with different settings or on different machines.
    """
    grouped: dict[str, list[tuple[str, CellMeasurements]]] = {}
    for measurements in files:
        for cell, entry in measurements.entries.items():
            grouped.setdefault(cell, []).append((measurements.name, entry))
    entries: dict[str, CellMeasurements] = {}
    for cell, members in grouped.items():
        first_name, first = members[0]
        for other_name, other in members[1:]:
            if (other.settings, other.machine) != (first.settings, first.machine):
                raise UsageError(f"{first_name} and {other_name} measured {cell} under different conditions.")
        counters: dict[str, float] = {}
        for _, entry in members:
            for counter, value in entry.counters.items():
                counters[counter] = max(counters.get(counter, value), value)
        speeds = [speed for _, entry in members for speed in entry.speeds]
        entries[cell] = replace(first, counters=counters, speeds=speeds)
    return Measurements(name, entries)


def _benchmark_measurements(benchmark: Mapping[str, Any], machine: Mapping[str, str]) -> CellMeasurements:
    extra = benchmark.get("extra_info")
    own = extra.get(EXTRA_INFO_KEY) if isinstance(extra, Mapping) else None
    return CellMeasurements(
        settings=dict(own["settings"]) if own is not None else {},
        machine={name: str(value) for name, value in own["machine"].items()} if own is not None else machine,
        counters=_numbers(extra),
        speeds=[float(benchmark["stats"]["median"])],
        seconds=True,
    )


def _baseline_cell(entry: CellMeasurements) -> BaselineCell:
    return BaselineCell(
        counters=dict(entry.counters),
        machine=dict(entry.machine),
        metrics={
            metric: BaselineQuality(
                direction=quality.direction,
                errors=[_finite_or_none(error) for error in quality.errors],
                protocol=dict(quality.protocol),
                values=[value for value in quality.values if math.isfinite(value)],
            )
            for metric, quality in entry.qualities.items()
        },
        seeds=list(entry.seeds),
        settings=dict(entry.settings),
        speeds=list(entry.speeds),
    )


def _cell_measurements(kept: BaselineCell) -> CellMeasurements:
    return CellMeasurements(
        settings=kept.settings,
        machine=kept.machine,
        counters=kept.counters,
        speeds=kept.speeds,
        qualities={
            metric: Quality(quality.values, quality.errors, quality.direction, quality.protocol)
            for metric, quality in kept.metrics.items()
        },
        seeds=kept.seeds,
    )


def _machine(info: object) -> dict[str, str]:
    facts: Mapping[str, Any] = info if isinstance(info, Mapping) else {}
    cpu = facts.get("cpu")
    processor = cpu.get("brand_raw") if isinstance(cpu, Mapping) else None
    named = {"machine": processor, "python": facts.get("python_version"), "system": facts.get("machine")}
    return {key: str(value) for key, value in named.items() if value}


def _numbers(extra: object) -> dict[str, float]:
    facts: Mapping[str, Any] = extra if isinstance(extra, Mapping) else {}
    return {
        name: float(facts[name])
        for name in COUNTERS
        if isinstance(facts.get(name), int | float) and not isinstance(facts[name], bool)
    }


def _finite_or_none(error: float | None) -> float | None:
    return error if error is not None and math.isfinite(error) else None
