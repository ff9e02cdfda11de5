"""Every error has a code, every code is used, and a code never changes its meaning."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import tomllib
from pathlib import Path

import pytest

from genbench.commands.first_steps.error_codes import ErrorCode, error_codes
from genbench.errors import GenbenchError
from genbench.results.failure_codes import CODES
from genbench.results.schema import STATUSES

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "genbench"
KNOWN = {code.code: code for code in error_codes()}
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def used() -> dict[str, list[str]]:
    """The codes in the code, each with the files."""
    found: dict[str, list[str]] = {}
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"GB\d{3}", node.value):
                found.setdefault(node.value, []).append(path.relative_to(ROOT).as_posix())
    return found


def bases_in(tree: ast.AST) -> set[str]:
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    return {base.id for node in classes for base in node.bases if isinstance(base, ast.Name)}


def error_classes() -> list[type[GenbenchError]]:
    for path, tree in TREES.items():
        if {"GenbenchError", "UsageError", "DataError"} & bases_in(tree) and path != PACKAGE / "errors.py":
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found, waiting = [], [GenbenchError]
    while waiting:
        found.append(kind := waiting.pop())
        waiting += [below for below in kind.__subclasses__() if below.__module__.startswith("genbench.")]
    return found


def test_every_code_in_the_code_is_explained_and_every_explained_code_is_used() -> None:
    found = used()
    assert found.keys() - KNOWN.keys() == set(), "explain it in genbench/error_codes.toml"
    assert KNOWN.keys() - found.keys() == set(), "nothing has this code: retire it"


def test_every_class_of_errors_has_a_code_of_its_own_or_of_its_kind() -> None:
    kinds = error_classes()
    assert {"UsageError", "DataError", "Interrupted", "CannotWriteResults", "ArmFailed", "ExecutorFailed"} <= {
        kind.__name__ for kind in kinds
    }
    assert [kind.__name__ for kind in kinds if kind.code not in KNOWN] == []
    direct = [kind for kind in kinds if kind.__base__ is GenbenchError]
    assert [kind.__name__ for kind in direct if "code" not in vars(kind)] == []


def test_every_status_but_ok_has_a_code() -> None:
    assert CODES.keys() == {*STATUSES} - {"ok"}
    assert {*CODES.values()} <= KNOWN.keys()


def test_published_codes_keep_their_names_and_are_not_used_again() -> None:
    retired = set(tomllib.loads((PACKAGE / "error_codes.toml").read_text(encoding="utf-8"))["retired"])
    lines = (ROOT / "tests" / "support" / "published_error_codes.txt").read_text(encoding="utf-8").splitlines()
    published = dict(line.split() for line in lines if not line.startswith("#"))
    assert not retired & KNOWN.keys()
    assert {code for code in published if code not in retired and code not in KNOWN} == set()
    assert {code: name for code, name in published.items() if code in KNOWN and KNOWN[code].name != name} == {}
    assert KNOWN.keys() <= published.keys(), "add it to tests/support/published_error_codes.txt"
    assert len({code.name for code in KNOWN.values()}) == len(KNOWN)


@pytest.mark.parametrize("entry", KNOWN.values(), ids=[*KNOWN])
def test_an_explanation_is_complete_and_short(entry: ErrorCode) -> None:
    assert re.fullmatch(r"GB[1-9]\d{2}", entry.code) and not entry.code.endswith("00")
    assert entry.causes and entry.remedies and entry.meaning.endswith(".")
    assert len(f"  {entry.code}  {entry.title}") <= 80
    assert all(point[-1] in ".!?`" for point in (*entry.causes, *entry.remedies)), "a sentence"


def test_the_constructor_takes_a_code_and_keeps_that_of_the_class_otherwise() -> None:
    assert GenbenchError("x").code == GenbenchError.code
    assert GenbenchError("x", code="GB101").code == "GB101"
    assert "code" in inspect.signature(GenbenchError.__init__).parameters
