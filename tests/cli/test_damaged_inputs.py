"""No damage to a file that the user names makes `compare`, `check`, `baseline` or `history` end in a traceback.

The exit code is 2 (usage) or 5 (no data) with a cause, or a verdict if the file still says something.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from example_runs import cell, changed, identity, stored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genbench.cli import invoke
from genbench.results.schema import Counters

DEEP: Any = json.loads("[" * 400 + "]" * 400)
VALUES = (
    None, True, -1, 0, 1.5, 10**30, 10**400, float("nan"), float("inf"), -float("inf"), "", "text", "\x00", "\ud800",
    "\x1b[31m", "x" * 5000, [], ["a"], {}, {"a": 1}, [[1]], DEEP,
)  # fmt: skip
PATHS = ("", ".", "/", "nowhere.json", "x" * 300, "y/" * 3000, "a\0b", "bad-\udcff", "\ud800", "~nobody/x", "/dev/null")
TOML = '[gate]\nmax-slowdown = "5%"\n[gate.counters]\noperations = "2%"\n[gate.metrics]\nfd-cnn = 1.0\n'
PYTEST_BENCHMARK = {
    "machine_info": {"machine": "x86_64", "python_version": "3.11.7", "cpu": {"brand_raw": "CPU A", "count": 4}},
    "benchmarks": [
        {
            "fullname": "t.py::x",
            "stats": {"median": 0.001},
            "extra_info": {
                "operations": 5.0,
                "genbench": {
                    "machine": {"machine": "CPU A", "cores": "4", "threads": "2", "torch": "2.9", "python": "3.11"},
                    "settings": {"batch_size": 3},
                },
            },
        }
    ],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, its baseline, its limits, and a file of pytest-benchmark."""
    folder = tmp_path_factory.mktemp("inputs")
    cells = [
        changed(cell(f"gan-{seed}", identity(seed=seed), speed=1000.0 + seed), counters=Counters(operations=100.0))
        for seed in range(2)
    ]
    stored(folder / "run", *cells)
    assert invoke(["baseline", "update", str(folder / "run"), "--baseline", str(folder / "baseline.json")]) == 0
    (folder / "gate.toml").write_text(TOML)
    (folder / "bench.json").write_text(json.dumps(PYTEST_BENCHMARK))
    return folder


def expect_no_bug(capsys: pytest.CaptureFixture[str], *arguments: object, least: int = 0) -> tuple[int, str]:
    """Run a command; a failure has a cause, and nothing is a bug."""
    code = invoke([str(argument) for argument in arguments])
    written = capsys.readouterr()
    assert code in (0, 1, 2, 3, 4, 5), written.err[-2000:]
    assert "Traceback" not in written.err
    assert code >= least
    if code == 2:
        assert written.err.startswith(("Error: ", "Usage: "))
        assert not any(f"{name}Error" in written.err for name in ("Type", "Value", "Key", "Recursion", "Overflow"))
    return code, written.err


def paths_in(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in a document."""
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from paths_in(item, (*path, key))


def replaced(document: Any, path: tuple[Any, ...], value: object) -> Any:
    """Return the document with another value at a path."""
    if not path:
        return value
    whole = copy.deepcopy(document)
    part = whole
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    return whole


@st.composite
def mutations(draw: st.DrawFn, document: Any) -> Any:
    """Return the document with one or two values replaced."""
    found = document
    for _ in range(draw(st.integers(1, 2))):
        found = replaced(found, draw(st.sampled_from(sorted(paths_in(found), key=str)[:2000])), draw(values()))
    return found


def values() -> st.SearchStrategy[Any]:
    return st.sampled_from(range(len(VALUES))).map(lambda number: VALUES[number])


MANY = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@MANY
@given(data=st.data())
def test_a_mutated_file_of_pytest_benchmark(
    data: st.DataObject, place: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    path = place / "mutated-bench.json"
    path.write_text(json.dumps(data.draw(mutations(PYTEST_BENCHMARK))))
    for sides in ((path, place / "bench.json"), (place / "bench.json", path)):
        expect_no_bug(capsys, "compare", *sides)
        expect_no_bug(capsys, "compare", *sides, "--json", "--junit", place / "j.xml", "--summary", place / "s.md")


@MANY
@given(data=st.data())
def test_a_mutated_baseline(data: st.DataObject, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = place / "mutated-baseline.json"
    text = json.dumps(data.draw(mutations(json.loads((place / "baseline.json").read_text()))))
    for command in (
        ("check", place / "run", "--baseline", path, "--max-slowdown", "5%"),
        ("compare", path, place / "run", "--json"),
        ("baseline", "update", place / "run", "--baseline", path),
    ):
        path.write_text(text)
        expect_no_bug(capsys, *command)


@MANY
@given(data=st.data(), name=st.sampled_from(["run.json", "cells/gan-0.json"]))
def test_a_mutated_run(data: st.DataObject, name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = place / "mutated-run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(place / "run", run)
    (run / name).write_text(json.dumps(data.draw(mutations(json.loads((run / name).read_text())))))
    for command in (
        ("check", run, "--baseline", place / "baseline.json", "--max-slowdown", "5%"),
        ("compare", place / "run", run, "--json"),
        ("compare", run, "--json"),
        ("power", run, "--detect", "5%"),
        ("baseline", "update", run, "--baseline", place / "new-baseline.json"),
        ("history", run, place / "run"),
        ("history", run, "--json"),
    ):
        expect_no_bug(capsys, *command)


@pytest.mark.parametrize("path", sorted(paths_in(tomllib.loads(TOML)), key=str), ids=str)
@pytest.mark.parametrize(
    "value",
    [
        *("nan", "inf", "-inf", "1e400", "9" * 400, "9" * 5000, "true", "[]", "[[1]]", '"\\u0000"', "2026-01-01", "''"),
        *("[" * 5000 + "]" * 5000, "{a = 1}", "'" + "5" * 500 + "%'"),
    ],
    ids=range(15),
)
def test_a_mutated_table_of_limits(
    path: tuple[str, ...], value: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = place / "mutated.toml"
    file.write_text(f"{'.'.join(path)} = {value}\n" if path else value)
    expect_no_bug(capsys, "check", place / "run", "--baseline", place / "baseline.json", "--config", file)


CONTENTS = {
    "empty": b"",
    "null": b"null",
    "list": b"[]",
    "deep list": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"benchmarks":' * 100_000,
    "huge integer": b"[" + b"9" * 10_000 + b"]",
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"benchmarks": []}'.encode("utf-16"),
    "NUL": b"\x00" * 100,
    "cut": b'{"benchmarks": [{"full',
    "a second document": b"{}{}",
    "binary": bytes(range(256)),
    "twice": b'{"benchmarks": [], "benchmarks": []}',
}


def commands_reading(file: Path, place: Path) -> list[tuple[str | Path, ...]]:
    """Return a command for each way of naming a file that is read."""
    return [
        ("compare", file, place / "run"),
        ("check", place / "run", "--baseline", file),
        ("check", place / "run", "--baseline", place / "baseline.json", "--config", file),
        ("baseline", "update", place / "run", "--baseline", file),
        ("history", file),
    ]


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_a_file_of_something_else_is_a_usage_error(
    content: bytes, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = place / "other"
    file.write_bytes(content)
    for command in commands_reading(file, place):
        code, err = expect_no_bug(capsys, *command)
        assert (code, "other" in err) == (2, True), (command, err)


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_a_run_with_a_file_of_something_else(
    content: bytes, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    for name, code in (("cells/gan-0.json", 5), ("run.json", 2)):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(place / "run", run)
        (run / name).write_bytes(content)
        for command in (
            ("check", run, "--baseline", place / "baseline.json"),
            ("compare", place / "run", run),
            ("baseline", "update", run, "--baseline", tmp_path / "new.json"),
            ("history", run),
        ):
            found, _ = expect_no_bug(capsys, *command)
            assert found == code or (command[0] == "history" and code == 5 and found == 0), command


def test_a_byte_order_mark_is_accepted_in_every_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marked = place / "marked"
    shutil.copytree(place / "run", marked / "run")
    for name in ("bench.json", "baseline.json", "gate.toml"):
        (marked / name).write_bytes(b"\xef\xbb\xbf" + (place / name).read_bytes())
    for file in (marked / "run" / "run.json", *(marked / "run" / "cells").iterdir()):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert invoke(["compare", str(marked / "bench.json"), str(marked / "bench.json")]) == 3
    given = ["--baseline", str(marked / "baseline.json"), "--config", str(marked / "gate.toml")]
    assert invoke(["check", str(marked / "run"), *given]) in (0, 3)
    assert invoke(["history", str(marked / "run")]) == 0
    assert "damaged" not in capsys.readouterr().err


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
def test_an_impossible_path(
    path: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    for command in (
        ("compare", path, place / "run"),
        ("check", path, "--baseline", place / "baseline.json"),
        ("check", place / "run", "--baseline", path),
        ("check", place / "run", "--baseline", place / "baseline.json", "--config", path),
        ("baseline", "update", path, "--baseline", place / "b.json"),
        ("history", path),
    ):
        code, _ = expect_no_bug(capsys, *command)
        assert code == 2, command


@pytest.mark.parametrize("path", [".", "/", "x" * 300, "a\0b", "\ud800", "bench.json/b.json"], ids=range(6))
def test_a_path_that_cannot_be_written(
    path: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    for options in ((), ("--only",)):
        code, _ = expect_no_bug(capsys, "baseline", "update", place / "run", "--baseline", path, *options)
        assert code == 2
    assert expect_no_bug(capsys, "history", place / "run", "--out", path)[0] == 2
    for flag in ("--summary", "--junit"):  # the verdict matters more than these
        code, err = expect_no_bug(capsys, "compare", place / "run", place / "run", flag, path)
        assert "cannot write" in err or code == 2


def test_a_pipe_is_no_file_and_blocks_nobody(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipe = place / "pipe.json"
    os.mkfifo(pipe)
    for command in commands_reading(pipe, place):
        code, err = expect_no_bug(capsys, *command)
        assert (code, "pipe.json" in err) == (2, True), command
    run = place / "run-with-a-pipe"
    shutil.copytree(place / "run", run)
    (run / "cells" / "gan-0.json").unlink()
    os.mkfifo(run / "cells" / "gan-0.json")
    assert expect_no_bug(capsys, "check", run, "--baseline", place / "baseline.json")[0] == 5
    pipe.unlink()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "bench.json").write_text("{}")
    closed.chmod(0)
    try:
        for path in (closed, closed / "bench.json"):
            assert expect_no_bug(capsys, "compare", path, place / "run")[0] == 2
            assert expect_no_bug(capsys, "check", place / "run", "--baseline", path)[0] == 2
    finally:
        closed.chmod(0o700)


@pytest.mark.parametrize("number", ["ENAMETOOLONG", "EACCES", "EIO"])
def test_the_system_refuses_to_look_at_a_path(
    number: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import errno

    code = getattr(errno, number)
    real = os.stat

    def refuse(path: Any, *args: Any, **given: Any) -> os.stat_result:
        if "refused" in os.fsdecode(path) if not isinstance(path, int) else False:
            raise OSError(code, os.strerror(code), path)
        return real(path, *args, **given)

    monkeypatch.setattr(os, "stat", refuse)
    monkeypatch.setattr(os, "lstat", refuse)
    for command in (
        ("compare", "refused", place / "run"),
        ("history", "refused"),
        ("check", "refused", "--baseline", place / "baseline.json"),
        ("baseline", "update", place / "run", "--baseline", "refused"),
    ):
        found, err = expect_no_bug(capsys, *command)
        assert (found, os.strerror(code) in err) == (2, True), err
