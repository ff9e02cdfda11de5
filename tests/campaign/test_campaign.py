"""The campaign finds what it looks for, and a seed repeats a trial."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parent


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"campaign_{name}", HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


judge, mutation = load("judge"), load("mutation")


def ended(code: int, out: str = "", err: str = "", *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess(["show", "run", *arguments], code, out, err)


@pytest.mark.parametrize(
    ("done", "finding"),
    [
        (ended(70, err="x"), "exit code 70"),
        (ended(-11), "exit code -11"),
        (ended(2, err="Traceback (most recent call last):\n  File"), "a traceback"),
        (ended(0, err="This is a bug in genbench", out="--in-process"), "a traceback"),
        (ended(0, out="a\x1b[2Jb"), "a control character"),
        (ended(0, out="a\n  ::error::b"), "a workflow command"),
        (ended(5), "without a word"),
    ],
)
def test_what_must_not_happen_is_a_finding(done: subprocess.CompletedProcess[str], finding: str) -> None:
    with pytest.raises(judge.Finding, match=finding):
        judge.judge(done)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 130])
def test_documented_ends_are_none(code: int) -> None:
    judge.judge(ended(code, "a\tb\n", "  | Traceback (most recent call last)\n"))


def test_the_log_of_a_cell_may_hold_a_traceback() -> None:
    judge.judge(ended(5, "", "Traceback (most recent call last):\n", "--in-process"))


def test_a_process_that_is_left_is_a_finding() -> None:
    mark = f"mark-{os.getpid()}"
    left = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, env={**os.environ, "MARK": mark})
    try:
        with pytest.raises(judge.Finding, match="left running"):
            judge.require_none_left(mark, seconds=1)
    finally:
        left.kill()
        left.communicate()
    judge.require_none_left(mark)


def test_a_seed_repeats_the_damage(tmp_path: Path) -> None:
    document = {"a": [1, 2, {"b": None}], "c": "text"}
    found = []
    for seed in (1, 1, 2):
        path = tmp_path / f"{len(found)}.json"
        path.write_text(json.dumps(document))
        said = mutation.damage_json(path, random.Random(seed))
        found.append((said, path.read_bytes()))
    assert found[0] == found[1]
    assert len({content for _, content in found} | {json.dumps(document).encode()}) == 3
