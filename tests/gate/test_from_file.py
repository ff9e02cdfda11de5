"""Files of pytest-benchmark and baselines: what is unknown, mixed or ambiguous in them is never compared."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from example_runs import cell, changed, comparability, estimate, identity, stored

from genbench.cli import invoke
from genbench.errors import UsageError
from genbench.gate.from_file import measurements_of_benchmarks, merged
from genbench.gate.from_run import measurements_of_run
from genbench.gate.judge import Finding, judge, overall
from genbench.gate.limits import Limit, Limits
from genbench.gate.measurements import Measurements
from genbench.gate.verdict import Verdict
from genbench.results.schema import CellResult, Counters, Throughput

KNOWN = {"machine": "x86_64", "python_version": "3.11.7", "cpu": {"brand_raw": "CPU A", "count": 4}}
ARM = {"machine": "aarch64", "python_version": "3.11.7", "cpu": {"arch": "ARM_8"}}
LIMITS = Limits(max_slowdown=Limit(0.05, relative=True))


def benchmark(name: str = "t.py::x", median: object = 0.001, **extra: Any) -> dict[str, Any]:
    return {"fullname": name, "stats": {"median": median}, "extra_info": extra}


def document(machine: object = KNOWN, factor: float = 1.0) -> dict[str, Any]:
    found = {"benchmarks": [benchmark(median=0.001 * factor)], "machine_info": machine}
    return {name: value for name, value in found.items() if value is not None}


def side(machines: Iterable[object], factor: float = 1.0) -> Measurements:
    files = [
        measurements_of_benchmarks(document(machine, factor * (1 + 0.002 * number)), f"{number}.json")
        for number, machine in enumerate(machines)
    ]
    return merged(files, "a")


def speed(base: Measurements, head: Measurements) -> Finding:
    (finding,) = judge(base, head, LIMITS, strict=True)
    return finding


@pytest.mark.parametrize(
    ("machine", "field"),
    [
        (None, "machine is unknown"),
        ({}, "machine is unknown"),
        ("a text", "machine is unknown"),
        (ARM, "machine is unknown"),
        ({**ARM, "cpu": None}, "machine is unknown"),
        ({**KNOWN, "cpu": {"brand_raw": ""}}, "machine is unknown"),
        ({**KNOWN, "cpu": {"brand_raw": "aarch64"}}, "machine is unknown"),
        ({**KNOWN, "cpu": {"brand_raw": ["CPU A"]}}, "machine is unknown"),
        ({"machine": "x86_64", "cpu": {"brand_raw": "CPU A"}}, "python is unknown"),
    ],
)
def test_machines_that_are_not_known_are_not_equal(machine: object, field: str) -> None:
    for base, head in ((machine, machine), (machine, KNOWN), (KNOWN, machine)):
        finding = speed(side([base] * 4), side([head] * 4, 0.5))
        assert (finding.verdict, field in finding.reason) == (Verdict.NOT_COMPARABLE, True), finding.reason
    assert speed(side([KNOWN] * 4), side([KNOWN] * 4, 0.5)).verdict is Verdict.IMPROVED


def test_a_machine_with_another_number_of_cores_is_another_machine() -> None:
    larger = {**KNOWN, "cpu": {"brand_raw": "CPU A", "count": 64}}
    finding = speed(side([KNOWN] * 4), side([larger] * 4))
    assert (finding.verdict, "cores is 4 in base, 64 in head" in finding.reason) == (Verdict.NOT_COMPARABLE, True)


def test_files_of_two_machines_in_a_folder_are_not_comparable_and_the_field_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, other in (("a", "CPU A"), ("b", "CPU B")):
        (tmp_path / folder).mkdir()
        for number, brand in enumerate(("CPU A", other)):
            machine = {**KNOWN, "cpu": {"brand_raw": brand}}
            (tmp_path / folder / f"{number}.json").write_text(json.dumps(document(machine)))
    for sides in (("a", "b"), ("b", "a"), ("b", "b")):
        assert invoke(["compare", *(str(tmp_path / name) for name in sides)]) == 4
        assert f"machine is CPU A in {tmp_path / 'b' / '0.json'}, CPU B in" in capsys.readouterr().out


def timed_by(timer: str) -> Measurements:
    one = document()
    one["benchmarks"][0]["options"] = {"timer": timer}
    return merged([measurements_of_benchmarks(one, f"{number}.json") for number in range(2)], "a")


def test_wall_time_and_processor_time_are_not_comparable() -> None:
    assert speed(timed_by("process_time"), timed_by("process_time")).verdict == Verdict.OK
    found = speed(timed_by("perf_counter"), timed_by("process_time"))
    assert found.verdict == Verdict.NOT_COMPARABLE
    assert "timer is perf_counter in base, process_time in head" in found.reason


def test_a_name_that_occurs_twice_is_rejected_with_file_and_name() -> None:
    twice = {"machine_info": KNOWN, "benchmarks": [benchmark(), benchmark("t.py::y"), benchmark(median=0.1)]}
    with pytest.raises(UsageError, match=r"c\.json: the benchmark t\.py::x occurs twice"):
        measurements_of_benchmarks(twice, "c.json")


def test_a_key_that_occurs_twice_in_an_object_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in (
        '{"baseline_version": 1, "cells": {"a": {}, "a": {}}}',
        '{"benchmarks": [{"fullname": "x", "stats": {"median": 1, "median": 2}}]}',
    ):
        (tmp_path / "f.json").write_text(content)
        assert invoke(["compare", str(tmp_path / "f.json"), str(tmp_path / "f.json")]) == 2
        assert "two values with the name" in capsys.readouterr().err


def test_times_have_a_name_and_a_unit_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, factor in (("a", 1.0), ("b", 1.2)):
        (tmp_path / folder).mkdir()
        for number in range(4):
            (tmp_path / folder / f"{number}.json").write_text(json.dumps(document(KNOWN, factor + 0.001 * number)))
    sides = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert invoke(["compare", *sides, "--json"]) == 1  # more time is worse
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["quantity"], finding["unit"], finding["verdict"]) == ("time", "s", "regressed")
    assert invoke(["compare", *sides]) == 1
    assert "time (s)" in capsys.readouterr().out


def test_advice_for_files_speaks_of_files() -> None:
    one = speed(side([KNOWN]), side([KNOWN]))
    assert "one file for each process" in one.reason
    noisy = [merged([measurements_of_benchmarks(document(KNOWN, f), "f") for f in fs], "a") for fs in NOISE]
    many = speed(*noisy)
    assert many.verdict is Verdict.INCONCLUSIVE
    assert "files per side would decide" in many.reason
    assert "seed" not in one.reason + many.reason


NOISE = ((1.0, 1.2, 0.9), (1.1, 0.95, 1.3))


def two_seeds(**changes: Any) -> list[CellResult]:
    return [
        changed(cell(f"gan-{seed}", identity(seed=seed), speed=1000.0 + seed, estimates=[]), **changes)
        for seed in range(3)
    ]


@pytest.mark.parametrize("name", ["", "unknown", "aarch64"])
def test_runs_without_a_known_processor_are_not_comparable(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(tmp_path / "a", *two_seeds(comparability=comparability(machine=name)))
    assert invoke(["compare", str(tmp_path / "a"), str(tmp_path / "a")]) == 4
    assert "machine is unknown in base and head" in capsys.readouterr().out


def test_runs_that_recorded_no_conditions_are_not_comparable(tmp_path: Path) -> None:
    stored(tmp_path / "a", *two_seeds(comparability=None))
    assert invoke(["compare", str(tmp_path / "a"), str(tmp_path / "a")]) == 4


def test_seeds_of_two_machines_are_no_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = two_seeds()
    seeds[1] = changed(seeds[1], comparability=comparability(machine="another"))
    stored(tmp_path / "a", *seeds)
    assert invoke(["compare", str(tmp_path / "a"), str(tmp_path / "a")]) == 4
    assert "machine is AMD EPYC in seed 0, another in seed 1" in capsys.readouterr().out
    baseline = tmp_path / "b.json"
    assert invoke(["baseline", "update", str(tmp_path / "a"), "--baseline", str(baseline)]) == 0
    assert invoke(["compare", str(baseline), str(baseline)]) == 4


def test_a_baseline_without_a_condition_does_not_pass_for_an_equal_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, baseline = str(tmp_path / "a"), tmp_path / "b.json"
    stored(tmp_path / "a", *two_seeds())
    assert invoke(["baseline", "update", run, "--baseline", str(baseline)]) == 0
    assert invoke(["compare", str(baseline), run]) == 0
    content = json.loads(baseline.read_text())
    (kept,) = content["cells"].values()
    assert not {"machine_conflict", "uncertain"} & set(kept)
    for name, code in (("machine", 4), ("threads", 4), ("torch", 4), ("accelerator", 0)):  # the last has a default
        machine = {field: value for field, value in kept["machine"].items() if field != name}
        cells = {cell: {**kept, "machine": machine} for cell in content["cells"]}
        baseline.write_text(json.dumps({**content, "cells": cells}))
        capsys.readouterr()
        assert invoke(["compare", str(baseline), run]) == code, name
        assert (f"{name} is unknown in base" in capsys.readouterr().out) == (code == 4)


def disturbed(speed: float = 18.0) -> Throughput:
    return Throughput(
        images_per_second=speed, low=9.0, high=3.42 * speed, confidence=0.5, windows=2, steps_per_second=0.5
    )


def test_a_disturbed_speed_is_inconclusive_in_runs_and_in_baselines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = two_seeds()
    stored(tmp_path / "a", *seeds)
    stored(tmp_path / "b", changed(seeds[0], throughput=disturbed()), *seeds[1:])
    baseline = tmp_path / "b.json"
    assert invoke(["baseline", "update", str(tmp_path / "b"), "--baseline", str(baseline)]) == 0
    for base in (tmp_path / "b", baseline):
        capsys.readouterr()
        assert invoke(["compare", str(base), str(tmp_path / "a")]) == 3
        text = capsys.readouterr().out
        assert "base: ±242 % for seed 0" in text
        assert "n/a" in text
    assert invoke(["check", str(tmp_path / "a"), "--baseline", str(baseline), "--max-slowdown", "5%"]) == 3
    capsys.readouterr()
    assert invoke(["compare", str(tmp_path / "b"), str(tmp_path / "a"), "--json"]) == 3
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["uncertain"], finding["base"] > 0) == (["base"], True)  # the raw value stays


def test_a_disturbed_speed_does_not_hide_counters_and_qualities(tmp_path: Path) -> None:
    one = changed(cell(estimates=[estimate("fd", 30.0)]), throughput=disturbed(), counters=Counters(operations=1.0))
    run = stored(tmp_path / "a", one)
    found = measurements_of_run(run.read())
    limits = Limits(other_metrics=Limit(0.05, relative=True))
    assert overall(judge(found, found, limits)) is Verdict.OK
