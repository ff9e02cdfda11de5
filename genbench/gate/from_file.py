"""Measurements from baseline files and pytest-benchmark's JSON, and baselines from measurements."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from genbench.errors import UsageError
from genbench.gate.conditions import UNKNOWN, conflict, machine_facts
from genbench.gate.limits import COUNTERS
from genbench.gate.measurements import CellMeasurements, Measurements, Quality
from genbench.results.baseline import Baseline, BaselineCell, BaselineQuality

ACCEPTED = "Give a run directory, a baseline file, or a file from `pytest --benchmark-json FILE`."
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
        return replace(entry, machine=software, speeds=(), qualities={}, machine_conflict="", uncertain="")

    return Measurements(measurements.name, {cell: counted(entry) for cell, entry in measurements.entries.items()})


def measurements_of_baseline(baseline: Baseline, name: str) -> Measurements:
    """Return the measurements stored in a baseline."""
    return Measurements(name, {cell: _cell_measurements(kept) for cell, kept in baseline.cells.items()})


def measurements_of_benchmarks(document: object, name: str) -> Measurements:
    """Return each benchmark's median time, and the counters in its `extra_info`, from pytest-benchmark's JSON.

    Raises `UsageError` for any other document, and for a benchmark that occurs twice or has no time.
    """
    if other := _other_format(document):
        raise UsageError(f"{name} is {other}, which genbench does not read.", ACCEPTED, code="GB802")
    benchmarks = document.get("benchmarks") if isinstance(document, Mapping) else None
    if not isinstance(document, Mapping) or not isinstance(benchmarks, list):
        raise UsageError(f"{name} is neither a genbench run nor pytest-benchmark's JSON.", ACCEPTED, code="GB802")
    machine = _machine(document.get("machine_info"))
    entries: dict[str, CellMeasurements] = {}
    for number, benchmark in enumerate(benchmarks, 1):
        fullname = benchmark.get("fullname") if isinstance(benchmark, Mapping) else None
        if not isinstance(benchmark, Mapping) or not isinstance(fullname, str) or not fullname:
            raise _damaged(f"{name}: entry {number} of its benchmarks has no name (fullname)")
        if fullname in entries:
            raise UsageError(
                f"{name}: the benchmark {fullname} occurs twice, so that its time is not defined.",
                "Give each benchmark a name of its own, or write one file for each process.",
                code="GB802",
            )
        entries[fullname] = _benchmark_measurements(benchmark, machine, f"{name}: the benchmark {fullname}")
    return Measurements(name, entries)


def merged(files: Sequence[Measurements], name: str) -> Measurements:
    """Merge the files of one side: each is one process, whose times are one sample.

    Times that were measured with different settings or on different machines are no sample: the fields are named.
    """
    grouped: dict[str, list[tuple[str, CellMeasurements]]] = {}
    for measurements in files:
        for cell, entry in measurements.entries.items():
            grouped.setdefault(cell, []).append((measurements.name, entry))
    entries: dict[str, CellMeasurements] = {}
    for cell, members in grouped.items():
        counters: dict[str, float] = {}
        for _, entry in members:
            for counter, value in entry.counters.items():
                counters[counter] = max(counters.get(counter, value), value)
        entries[cell] = replace(
            members[0][1],
            counters=counters,
            speeds=[speed for _, entry in members for speed in entry.speeds],
            settings_conflict=conflict((file, entry.settings) for file, entry in members),
            machine_conflict=conflict((file, entry.machine) for file, entry in members),
        )
    return Measurements(name, entries)


def _other_format(document: object) -> str:
    """Return the name of a benchmark tool whose JSON this is; empty for pytest-benchmark's, or if it is not known."""
    benchmarks = document.get("benchmarks") if isinstance(document, Mapping) else None
    first = benchmarks[0] if isinstance(benchmarks, list) and benchmarks else None
    if isinstance(document, Mapping) and isinstance(first, Mapping) and "stats" not in first:
        if "real_time" in first or "cpu_time" in first:
            return "Google Benchmark's JSON"
        if "runs" in first:
            return "pyperf's JSON"
    if isinstance(document, Mapping) and isinstance(document.get("context"), Mapping) and "benchmarks" in document:
        return "Google Benchmark's JSON"
    return ""


def _damaged(what: str) -> UsageError:
    return UsageError(
        f"{what}.", "Write the file again: `pytest --benchmark-json FILE`, without --benchmark-disable.", code="GB802"
    )


def _benchmark_measurements(benchmark: Mapping[str, Any], machine: Mapping[str, str], where: str) -> CellMeasurements:
    extra = benchmark.get("extra_info")
    own = extra.get(EXTRA_INFO_KEY) if isinstance(extra, Mapping) else None
    settings: object = {}
    if own is not None:
        settings, facts = (own.get("settings"), own.get("machine")) if isinstance(own, Mapping) else (None, None)
        machine = machine_facts(facts) if isinstance(facts, Mapping) else {}
    if not isinstance(settings, Mapping) or not machine:
        raise _damaged(f"{where} has no readable settings and machine (extra_info.{EXTRA_INFO_KEY})")
    return CellMeasurements(
        settings={**settings, **_timer(benchmark.get("options"))},
        machine=machine,
        counters=_counters(extra, where),
        speeds=[_median(benchmark.get("stats"), where)],
        seconds=True,
    )


def _timer(options: object) -> dict[str, str]:
    """Return which clock the times are of, if the file says so: wall time and processor time do not compare."""
    timer = options.get("timer") if isinstance(options, Mapping) else None
    return {"timer": timer} if isinstance(timer, str) else {}


def _median(stats: object, where: str) -> float:
    """Return the median time in seconds, above 0; raise `UsageError` if there is none."""
    if not isinstance(stats, Mapping) or not stats:
        raise _damaged(f"{where} has no times (stats)")
    median = stats.get("median")
    if median is None:
        raise _damaged(f"{where} has no median time (stats.median)")
    seconds = _number(median)
    if seconds is None or not 0 < seconds < math.inf:
        raise _damaged(f"{where} has a median time that is not a positive number of seconds (stats.median)")
    return seconds


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
        machine_conflict=entry.machine_conflict or msgspec.UNSET,
        uncertain=entry.uncertain or msgspec.UNSET,
    )


def _cell_measurements(kept: BaselineCell) -> CellMeasurements:
    return CellMeasurements(
        settings=kept.settings,
        machine=machine_facts(kept.machine),
        counters=kept.counters,
        speeds=kept.speeds,
        qualities={
            metric: Quality(
                quality.values,
                quality.errors,
                quality.direction,
                quality.protocol,
                kept.seeds if len(kept.seeds) == len(quality.values) else (),  # else some seed has no value
            )
            for metric, quality in kept.metrics.items()
        },
        seeds=kept.seeds,
        machine_conflict="" if isinstance(kept.machine_conflict, msgspec.UnsetType) else kept.machine_conflict,
        uncertain="" if isinstance(kept.uncertain, msgspec.UnsetType) else kept.uncertain,
    )


def _machine(info: object) -> dict[str, str]:
    """Return the processor, the version of Python, and the architecture; the number of cores if it is recorded."""
    facts: Mapping[str, Any] = info if isinstance(info, Mapping) else {}
    found = facts.get("cpu")
    cpu: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    named = {
        "machine": cpu.get("brand_raw") or cpu.get("brand"),
        "python": facts.get("python_version"),
        "system": facts.get("machine"),
    }
    known = {key: value if isinstance(value, str) and value.strip() else UNKNOWN for key, value in named.items()}
    cores = _number(cpu.get("count"))
    return known if cores is None else {**known, "cores": f"{cores:g}"}


def _counters(extra: object, where: str) -> dict[str, float]:
    facts: Mapping[str, Any] = extra if isinstance(extra, Mapping) else {}
    found = {}
    for name in COUNTERS:
        if facts.get(name) is None:
            continue
        number = _number(facts[name])
        if number is None or not math.isfinite(number):
            raise _damaged(f"{where} has a counter that is not a finite number (extra_info.{name})")
        found[name] = number
    return found


def _number(value: object) -> float | None:
    """Return a number of JSON; None for anything else, and for an integer beyond the range of a float."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _finite_or_none(error: float | None) -> float | None:
    return error if error is not None and math.isfinite(error) else None
