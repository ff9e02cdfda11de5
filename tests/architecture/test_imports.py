"""Imports within genbench point one way, also those inside functions; those for type checkers do not count."""

from __future__ import annotations

import ast
import functools
import graphlib
import importlib.util
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "genbench").rglob("*.py"))
PUBLIC = {"genbench", "genbench.testing", "genbench.pytest_plugin"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in FILES}


@functools.cache
def trees() -> dict[str, ast.Module]:
    return {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in MODULES.items()}


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every node beneath this one, except those under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for alternative in child.orelse:
                yield alternative
                yield from executed(alternative)
            continue
        yield child
        yield from executed(child)


def imported(tree: ast.Module, package: str) -> Iterator[tuple[str, int]]:
    """Yield each module of genbench that the source imports, with the line."""
    for node in executed(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for alias in node.names:
                name = f"{base}.{alias.name}"
                if name in MODULES or base in MODULES:
                    yield (name if name in MODULES else base), node.lineno


def package_of(module: str) -> str:
    return module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]


@functools.cache
def imports() -> list[tuple[str, str, int]]:
    """Return every import within genbench: the module, what it imports, and the line."""
    return [
        (module, target, line)
        for module, tree in trees().items()
        for target, line in imported(tree, package_of(module))
    ]


def contract(kind: str, name: str) -> dict[str, Any]:
    """Return the only import-linter contract of this kind whose name contains this text."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (found,) = (each for each in contracts if each["type"] == kind and name in each["name"])
    return dict(found)


LAYERS = [[name.strip() for name in layer.split("|")] for layer in contract("layers", "point down")["layers"]]
LEVELS = {f"genbench.{name}": -number for number, layer in enumerate(LAYERS) for name in layer}  # the top is 0


def part_of(module: str) -> str:
    """Return the package or module of genbench's top level that a module belongs to; of the public API, `api`."""
    return "genbench.api" if module == "genbench" else ".".join(module.split(".")[:2])


def test_imports_inside_functions_count_and_those_for_type_checkers_do_not() -> None:
    source = """
from typing import TYPE_CHECKING
import genbench.errors
from . import seeds
if TYPE_CHECKING:
    from genbench.cli import main
else:
    from genbench import stats
def read():
    from genbench.api.recipe import Recipe
    from genbench.results import store
"""
    assert list(imported(ast.parse(source), "genbench")) == [
        ("genbench.errors", 3),
        ("genbench.seeds", 4),
        ("genbench.stats", 8),
        ("genbench.api.recipe", 10),
        ("genbench.results.store", 11),
    ]


def test_there_is_no_import_cycle() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for module, target, _ in imports():
        graph[module].add(target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail("import cycle: " + " <- ".join(error.args[1]), pytrace=False)


def test_every_package_and_module_is_in_one_layer() -> None:
    assert sorted(name for layer in LAYERS for name in layer) == sorted(
        {part_of(module).removeprefix("genbench.") for module in MODULES}
    )


def test_every_import_points_to_a_lower_layer() -> None:
    wrong = [
        f"{MODULES[module].relative_to(ROOT)}:{line} imports {target}"
        for module, target, line in imports()
        if part_of(module) != part_of(target) and LEVELS[part_of(target)] >= LEVELS[part_of(module)]
    ]
    assert not wrong, "\n".join(wrong)


def test_built_in_plugins_import_only_the_public_api() -> None:
    wrong = [
        f"{MODULES[module].relative_to(ROOT)}:{line} imports {target}"
        for module, target, line in imports()
        if part_of(module) == "genbench.builtin" and part_of(target) != "genbench.builtin" and target not in PUBLIC
    ]
    assert not wrong, "\n".join(wrong)


def test_every_package_that_works_without_torch_is_in_the_contract() -> None:
    """A package of which no module reaches torch, in whatever way, must be listed, so that it stays so."""
    listed = contract("forbidden", "without torch")
    heavy = {
        module
        for module, tree in trees().items()
        for node in executed(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        if name.partition(".")[0] in listed["forbidden_modules"]
    }
    grown = True
    while grown:
        more = {module for module, target, _ in imports() if target in heavy} - heavy
        heavy, grown = heavy | more, bool(more)
    free = {part_of(module) for module in MODULES} - {part_of(module) for module in heavy}
    assert free - {"genbench.__main__"} <= set(listed["source_modules"])
