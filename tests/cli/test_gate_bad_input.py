"""`check`, `compare` and `baseline` on input that is damaged, missing, or from another version or machine.

Nothing here may exit with code 0, nor with 1, which means a regression.
"""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from example_runs import cell, changed, comparability, plan, stored

from genbench.cli import invoke
from genbench.results.schema import Counters
from genbench.results.store import RunDirectory


def counted(**changes: Any) -> Any:
    return changed(cell(**changes), counters=Counters(operations=100.0))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    stored(tmp_path / "run", counted())
    return tmp_path / "run"


@pytest.fixture
def baseline(tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "baseline.json"
    assert invoke(["baseline", "update", str(run), "--baseline", str(path)]) == 0
    capsys.readouterr()
    return path


def run_failing(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = invoke([str(argument) for argument in arguments])
    return code, capsys.readouterr().err


def test_a_missing_baseline(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, err = run_failing(capsys, "check", run, "--baseline", "nowhere.json")
    assert code == 2
    assert "nowhere.json cannot be read" in err
    assert "genbench baseline update RUN --baseline nowhere.json" in err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not a valid baseline file"),
        ("{", "is not a valid baseline file"),
        ("[]", "is not a valid baseline file"),
        ("{}", "it has no baseline_version"),
        (
            '{"baseline_version": 99, "cells": {}}',
            "was written by a newer genbench (format 99; this one reads up to 1)",
        ),
        (
            '{"baseline_version": 1, "cells": {"a": {"counters": {"operations": "many"}}}}',
            "is not a valid baseline file",
        ),
        (
            '{"baseline_version": 1, "cells": {"a": {"metrics": {"fd": {"direction": "sideways"}}}}}',
            "is not a valid baseline file",
        ),
        ("\udcff", "is not a valid baseline file"),
        (
            '{"baseline_version": 1, "cells": {"a": {"counters": {"operations": -3.0}}}}',
            "counters has a negative value",
        ),
        ('{"baseline_version": 1, "cells": {"a": {"speeds": [-1.5]}}}', "speeds has a negative value"),
        ('{"baseline_version": 1, "cells": {"a": {"speeds": [1e300]}}}', "1e+300, which is not a possible value"),
        ('{"baseline_version": 1, "cells": {"a": {"seeds": [99999999999999999999]}}}', "not a valid baseline file"),
        (
            '{"baseline_version": 1, "cells": {"a": {"metrics": {"fd": '
            '{"direction": "lower", "values": [1.0], "errors": [0.1, 0.2]}}}}}',
            "has 1 values, but 2 errors",
        ),
    ],
)
def test_a_baseline_that_is_damaged_newer_or_something_else(
    content: str, message: str, run: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    baseline.write_bytes(content.encode("utf-8", "surrogateescape"))
    for command in (["check", run, "--baseline", baseline], ["baseline", "update", run, "--baseline", baseline]):
        code, err = run_failing(capsys, *command)
        assert (code, message in err) == (2, True), err
        assert "bug" not in err
    assert baseline.read_bytes() == content.encode("utf-8", "surrogateescape")  # the old content is not lost


def test_an_empty_baseline_is_no_data(run: Path, baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    baseline.write_text('{"baseline_version": 1}')
    code = invoke(["check", str(run), "--baseline", str(baseline)])
    assert code == 5
    assert "Verdict: no-data" in capsys.readouterr().out


def test_a_baseline_of_another_machine_judges_counters_but_not_speed(
    tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored(tmp_path / "elsewhere", changed(counted(), comparability=comparability(machine="another", threads=64)))
    assert invoke(["check", str(tmp_path / "elsewhere"), "--baseline", str(baseline), "--max-slowdown", "5%"]) == 0
    text = capsys.readouterr().out
    assert "(not-comparable)" in text
    assert "machine is AMD EPYC in base, another in head; threads is 2 in base, 64 in head" in text
    assert invoke(["compare", str(baseline), str(tmp_path / "elsewhere")]) == 4


@pytest.mark.parametrize("command", ["check", "compare", "baseline"])
@pytest.mark.parametrize(
    ("version", "message"), [(99, "was written by a newer genbench (format 99"), (0, "has no schema_version")]
)
def test_a_run_of_another_schema_version(
    command: str, version: int, message: str, run: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "schema_version": version}))
    before = baseline.read_bytes()
    arguments = {
        "check": ["check", run, "--baseline", baseline],
        "compare": ["compare", baseline, run],
        "baseline": ["baseline", "update", run, "--baseline", baseline],
    }
    code, err = run_failing(capsys, *arguments[command])
    assert code == 2
    assert message in err
    assert baseline.read_bytes() == before


@pytest.mark.parametrize("content", ['{"schema_version": 99}', "{"])
def test_a_damaged_cell_or_one_of_another_version_is_no_data(
    content: str, run: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RunDirectory(run).cell_path("gan-1").write_text(content)
    code = invoke(["check", str(run), "--baseline", str(baseline)])
    assert code == 5
    text = capsys.readouterr().out
    assert ("was written by a newer genbench" if "99" in content else "not measured: seed 0") in text
    assert "never ran" not in text
    code, err = run_failing(capsys, "baseline", "update", run, "--baseline", baseline)
    assert (code, "No cell of" in err) == (5, True)


@pytest.mark.parametrize("command", ["check", "compare", "baseline"])
def test_a_run_without_results(
    command: str, tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run without cells, or whose cells never ran, neither passes nor becomes the new baseline."""
    before = baseline.read_bytes()
    RunDirectory.create(tmp_path / "empty", plan())
    RunDirectory.create(tmp_path / "never", plan(counted()))
    for empty in (tmp_path / "empty", tmp_path / "never"):
        arguments = {
            "check": ["check", empty, "--baseline", baseline],
            "compare": ["compare", empty, empty],
            "baseline": ["baseline", "update", empty, "--baseline", baseline],
        }
        assert invoke([str(argument) for argument in arguments[command]]) == 5
        capsys.readouterr()
    code, err = run_failing(capsys, *[str(a).replace(str(tmp_path / "never"), "nowhere") for a in arguments[command]])
    assert (code, "nowhere does not exist" in err) == (2, True)
    assert baseline.read_bytes() == before


def test_a_cell_that_failed_in_the_base_does_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored(tmp_path / "base", changed(counted(), status="oom"))
    stored(tmp_path / "head", counted())
    assert invoke(["compare", str(tmp_path / "base"), str(tmp_path / "head")]) == 5
    assert "not measured in base: seed 0: oom" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "neither a genbench run nor pytest-benchmark's JSON"),
        ([], "neither a genbench run nor pytest-benchmark's JSON"),
        ({"benchmarks": {}}, "neither a genbench run nor pytest-benchmark's JSON"),
        ({"benchmarks": [{"fullname": "a"}]}, "bench.json: the benchmark a has no times"),
        ({"benchmarks": [{"fullname": "a", "stats": None}]}, "bench.json: the benchmark a has no times"),
        ({"benchmarks": [{"fullname": "a", "stats": {"median": None}}]}, "bench.json: the benchmark a has no median"),
        ({"benchmarks": [{"fullname": "a", "stats": {"median": "slow"}}]}, "not a positive number of seconds"),
        ({"benchmarks": [{"fullname": "a", "stats": {"median": math.nan}}]}, "not a positive number of seconds"),
        ({"benchmarks": [{"fullname": "a", "stats": {"median": 10**400}}]}, "not a positive number of seconds"),
        *(
            (
                {"benchmarks": [{"fullname": "a", "stats": {"median": 1.0}, "extra_info": {"operations": count}}]},
                "the benchmark a has a counter that is not a finite number (extra_info.operations)",
            )
            for count in (math.nan, math.inf, 10**400, "many", [1])
        ),
        ({"benchmarks": ["a"]}, "bench.json: entry 1 of its benchmarks has no name"),
        ({"benchmarks": [{"name": "BM_x", "real_time": 1.0, "time_unit": "ns"}]}, "is Google Benchmark's JSON"),
        ({"context": {"num_cpus": 4}, "benchmarks": []}, "is Google Benchmark's JSON"),
        ({"version": "1.0", "benchmarks": [{"runs": []}]}, "is pyperf's JSON"),
    ],
)
def test_json_of_another_program(
    document: object, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(document))
    code, err = run_failing(capsys, "compare", path, path)
    assert (code, message in err) == (2, True), err
    assert "NoneType" not in err


def test_json_without_benchmarks_is_no_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bench.json"
    path.write_text('{"benchmarks": [], "machine_info": {}}')
    assert invoke(["compare", str(path), str(path)]) == 5
    assert "no-data" in capsys.readouterr().out
    for text in ("not JSON", "\udc80"):
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        code, err = run_failing(capsys, "compare", path, path)
        assert (code, "Cannot read" in err) == (2, True)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ("[gate]\nmax-slowdwn = '5%'", "Did you mean 'max_slowdown'?"),
        ("[gate.counters]\noperation = '5%'", "Did you mean 'operations'?"),
        ("[gate]\nmax-slowdown = '-5%'", "cannot be read"),
        ("[gate]\nmax-slowdown = true", "cannot be read"),
        ("[gate.metrics]\nfd = 'much'", "cannot be read"),
        ("[gate]\ncounters = 5", "gate.counters is not a table"),
        ("gate = 5", "gate is not a table"),
        ("[gates]", "has no [gate]"),
        ("[gate", "is not valid TOML"),
        ("[gate.cells.gan.cells.gan]\nmax-slowdown = '5%'", "is not a limit"),
    ],
)
def test_invalid_limits(
    limits: str, message: str, tmp_path: Path, run: Path, baseline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gate.toml"
    path.write_text(limits)
    code, err = run_failing(capsys, "check", run, "--baseline", baseline, "--config", path)
    assert (code, message in err) == (2, True), err


def test_missing_limits(run: Path, baseline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for flag, value in (("--config", "nowhere.toml"), ("--max-slowdown", "fast")):
        code, err = run_failing(capsys, "check", run, "--baseline", baseline, flag, value)
        assert (code, "nowhere.toml" in err or "fast" in err) == (2, True)


def test_a_full_disk_keeps_the_old_baseline(
    run: Path, baseline: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = baseline.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    code, err = run_failing(capsys, "baseline", "update", run, "--baseline", baseline)
    assert (code, "cannot be written: No space left on device" in err) == (2, True)
    assert baseline.read_bytes() == before
    assert [path.name for path in baseline.parent.iterdir() if path.name.startswith(".")] == []


def test_a_full_disk_loses_the_files_but_not_the_verdict(
    run: Path, baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "fsync", full)
    code = invoke(["check", str(run), "--baseline", str(baseline), "--junit", str(tmp_path / "junit.xml")])
    written = capsys.readouterr()
    assert (code, "Verdict: ok" in written.out) == (0, True)
    assert "cannot write" in written.err
    assert not (tmp_path / "junit.xml").exists()
    code = invoke(["check", str(run), "--baseline", str(baseline), "--summary", "/dev/full"])
    assert (code, "cannot write" in capsys.readouterr().err) == (0, True)


def full(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
